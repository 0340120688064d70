"""One run report of an inference that several ranks (processes) share."""

import sys
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from scripts.common.outcomes import exit_status
from scripts.common.ranks import from_first, gathered, is_first, rank, wait
from scripts.outputs.manifest import read_report
from scripts.outputs.run_report import RunReport

RANK_REPORT = ".run_report_of_rank_{}.json"  # hidden, so that it is no input


class RankRunReport(RunReport):
    """`RunReport` whose first rank takes the folder, decides what is still to be done, and writes the one report.

    While the run goes on, every other rank keeps the entries of its images in a hidden file; after a kill the next
    run of several ranks knows from these files what was finished.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.whole = False
        if not is_first():
            self.path, self.progress = self.path.with_name(RANK_REPORT.format(rank())), False

    def remaining(self, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """As on one rank, the same on each; the folder is taken before any of them goes on."""
        left: list[Mapping[str, Any]] = []
        if is_first():
            self._take()
            left = super().remaining(items)
        return from_first(left)

    def finish(self, unwritten_studies: int = 0) -> None:
        """Write the report of all images; every rank ends with its exit status."""
        shares = gathered(self.images)
        self.images = [entry for entry in chain.from_iterable(zip_longest(*shares)) if entry is not None]
        self.pending = {name: None for name in self.pending if name not in {entry["image_id"] for entry in self.images}}
        if not is_first():
            wait()  # torchrun ends all ranks when the first of them exits with 1
            if status := exit_status(entry["status"] for entry in self.images) or int(unwritten_studies > 0):
                sys.exit(status)
            return
        try:
            self.whole = True
            self._take()
            self._write("finished")
            for file in self.path.parent.glob(RANK_REPORT.format("*")):
                file.unlink(missing_ok=True)
            super().finish(unwritten_studies)
        finally:
            wait()

    def _look(self) -> None:
        super()._look()
        known = {entry.get("image_id") for entry in self.earlier}
        for file in sorted(self.path.parent.glob(RANK_REPORT.format("*"))):
            images = (read_report(self.path.parent, file.name) or {}).get("images", [])
            self.earlier += [entry for entry in images if entry.get("image_id") not in known]

    def _take(self) -> None:
        if is_first():
            super()._take()

    def _write(self, state: str) -> None:
        super()._write(state if self.whole or state != "finished" else "running")
