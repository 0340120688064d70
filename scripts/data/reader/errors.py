"""The one error of everything that reads a user's files."""

from __future__ import annotations

import os

PathLike = str | os.PathLike[str]


class MammogramReadError(ValueError):
    """A file that cannot serve as a mammogram, a label or a data list.

    The message reads ``path: got ...; want ...``. It survives pickling, so that data loader workers can raise it.

    Args:
        path: the file or folder.
        got: what is there.
        want: what would have been accepted.
    """

    def __init__(self, path: PathLike, got: str, want: str) -> None:
        self.path, self.got, self.want = os.fspath(path), got, want
        super().__init__(f"{self.path}: got {got}; want {want}")

    def __reduce__(self) -> tuple[type[MammogramReadError], tuple[str, str, str]]:
        return type(self), (self.path, self.got, self.want)
