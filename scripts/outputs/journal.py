"""What a run over very many images has done since its report was last written, one line of JSON each.

Writing the whole report after every image would take time and disk with the square of their number.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

JOURNAL_NAME = ".run_journal.jsonl"  # hidden, so that it is no input


class Journal:
    """Lines in a result folder; a line that was cut off by a kill is passed over when they are read."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / JOURNAL_NAME
        self._file: TextIO | None = None

    def append(self, entry: Mapping[str, Any]) -> bool:
        """Add an entry; False where there is no room, or no right to write."""
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="ascii")
                self._file.write("\n")  # ends a line that was cut off
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
        except OSError:
            self._close()
            return False
        return True

    def entries(self) -> Iterator[dict[str, Any]]:
        """The entries in the order in which they were added."""
        absent = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with absent, self.path.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                with contextlib.suppress(ValueError, RecursionError):
                    if isinstance(entry := json.loads(line), dict):
                        yield entry

    def remove(self) -> None:
        """Forget all entries, once the report holds them."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
