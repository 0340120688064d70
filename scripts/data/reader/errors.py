"""The one error of everything that reads a user's files."""

from __future__ import annotations

import os


class MammogramReadError(ValueError):
    """A file that cannot serve as a mammogram, a label or a data list.

    The message reads ``path: found ...; wanted ...``. It survives pickling, so that data loader workers can raise it.

    Args:
        path: the file or folder.
        found: what is there.
        wanted: what would have been accepted.
    """

    def __init__(self, path: str | os.PathLike[str], found: str, wanted: str) -> None:
        self.path, self.found, self.wanted = os.fspath(path), found, wanted
        super().__init__(f"{self.path}: found {found}; wanted {wanted}")

    def __reduce__(self) -> tuple[type[MammogramReadError], tuple[str, str, str]]:
        return type(self), (self.path, self.found, self.wanted)
