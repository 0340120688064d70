"""The one error of everything that reads a user's files."""

import os
from typing import Any

PathLike = str | os.PathLike[str]


class MammogramReadError(ValueError):
    """A file that cannot serve as a mammogram, a label or a data list: ``path: got ...; want ...``."""

    def __init__(self, path: PathLike, got: str, want: str) -> None:
        self.path, self.got, self.want = os.fspath(path), got, want
        super().__init__(f"{self.path}: got {got}; want {want}")

    def __reduce__(self) -> tuple[Any, ...]:
        """It survives pickling, so that data loader workers can raise it."""
        return type(self), (self.path, self.got, self.want)


def check_file(path: PathLike, is_valid: Any, got: str, want: str) -> None:
    """MammogramReadError "<path>: got ...; want ..." unless `is_valid`."""
    if not is_valid:
        raise MammogramReadError(path, got, want)
