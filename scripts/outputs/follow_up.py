"""Follow-up as one run: two folders of results in, `follow_up.json`, `.csv`, `.png` and, of DICOM, `_sr.dcm` out."""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.common.checks import check, check_fields
from scripts.common.files import write_json
from scripts.data.reader.mammogram_reader import AS_SHOWN, Reading
from scripts.findings.clusters import CircleClusters, ClusterRule
from scripts.findings.follow_up.change import Intervals
from scripts.findings.follow_up.clear import without_faint
from scripts.findings.follow_up.comparable import QualityLimits
from scripts.findings.follow_up.compare import COMPARED, REFUSED, REGIONS_ONLY, Comparison, carried, compare
from scripts.findings.follow_up.exams import Exam, read_exam
from scripts.findings.follow_up.matching import MatchingRule
from scripts.findings.follow_up.regions import Region, read_region
from scripts.findings.follow_up.registration import ElastixRegistration, Registration
from scripts.findings.presets import OperatingPoints
from scripts.outputs.canvas import write_drawing
from scripts.outputs.dicom.writers import write_follow_up
from scripts.outputs.follow_up_report import (
    build_follow_up_report,
    build_region_report,
    statistics_table,
    write_traces,
)

logger = logging.getLogger(__name__)
SR_NAME = "follow_up_sr.dcm"


@dataclass(frozen=True)
class FollowUp:
    """Comparison of two exams of one breast and view.

    Exams are folders of results of inference. A region is what `scripts.findings.follow_up.regions` says; one that is
    marked in one exam only is carried to the other.
    """

    prior: str
    current: str
    output_dir: str
    prior_image: str = ""  # the mammograms, where the results do not say where they are
    current_image: str = ""
    prior_region: Any = None
    current_region: Any = None
    reading: Reading = AS_SHOWN
    regions_only: bool = False  # without registration, for which ITK is needed
    registration: Registration = field(default_factory=ElastixRegistration)
    limits: QualityLimits = field(default_factory=QualityLimits)
    matching: MatchingRule = field(default_factory=MatchingRule)
    intervals: Intervals = field(default_factory=Intervals)
    #: Preset from whose threshold on a mark is an MC by itself; fainter ones of the results only keep an MC of the
    #: other exam from being called new or gone. "": every mark is one.
    clear_preset: str = ""
    operating_points: str = "models/operating_points.json"  # where presets are looked up
    clusters: ClusterRule = field(default_factory=CircleClusters)  # of what is left without faint marks

    def __post_init__(self) -> None:
        check_fields(self)

    def run(self) -> dict[str, Any]:
        """Compare, write and log; the report. Exams that cannot be compared end the process with status 1."""
        from scripts.outputs.follow_up_picture import draw_follow_up  # here, as Matplotlib takes its time

        prior = read_exam(self.prior, self.reading, self.prior_image)
        current = read_exam(self.current, self.reading, self.current_image)
        given = [
            None if not region else _region(region, exam)
            for region, exam in ((self.prior_region, prior), (self.current_region, current))
        ]
        registration = None if self.regions_only else self.registration
        comparison = compare(prior, current, registration, self.limits, self.matching)
        if self.clear_preset:
            least = self._clear_from(prior), self._clear_from(current)
            prior, current, comparison = without_faint(prior, current, comparison, least, self.clusters)
        regions = [("region", *both) for both in self._regions(given, prior, current, comparison)]
        settings: dict[str, Any] = {"registration": self.registration, "limits": self.limits, "matching": self.matching}
        settings |= {"intervals": self.intervals, "reading": self.reading, "clear_preset": self.clear_preset}
        report = build_follow_up_report(prior, current, comparison, regions, self.intervals, settings)
        folder = Path(self.output_dir).expanduser()
        (folder / SR_NAME).unlink(missing_ok=True)  # of an earlier run
        write_traces(folder / "follow_up.csv", report, prior, current)
        shown = regions[0][1:] if regions else (None, None)
        write_drawing(folder / "follow_up.png", draw_follow_up(prior, current, comparison, shown))
        if comparison.status != REGIONS_ONLY and write_follow_up(folder / SR_NAME, prior, current, report) is None:
            logger.warning("no %s: it wants two DICOM mammograms, and instances.nii.gz of both", SR_NAME)
        path = write_json(folder / "follow_up.json", report)
        for figures in (report["breast"], *report["regions"], *report["clusters"]):
            logger.info("\n%s", statistics_table(figures))
        logger.info("written: %s", path)
        if comparison.status == REFUSED:
            logger.error("cannot be compared: %s", "; ".join(comparison.reasons))
            sys.exit(1)
        return report

    def region(self) -> dict[str, Any]:
        """Statistics of `current_region` in the current exam alone, as `region.json`."""
        check("current_region", self.current_region, bool(self.current_region), "a region")
        exam = read_exam(self.current, self.reading, self.current_image)
        report = build_region_report(exam, _region(self.current_region, exam))
        path = write_json(Path(self.output_dir).expanduser() / "region.json", report)
        logger.info("\n%s\nwritten: %s", statistics_table({"name": "region", "current": report["statistics"]}), path)
        return report

    def _clear_from(self, exam: Exam) -> float:
        """The score from which a mark of an exam is clear."""
        return float(OperatingPoints(self.operating_points, exam.method, self.clear_preset).threshold() or 0.0)

    def _regions(
        self, given: list[Region | None], prior: Exam, current: Exam, comparison: Comparison
    ) -> list[tuple[Region, Region]]:
        first, second = given
        if first is None and second is None:
            return []
        if comparison.status == COMPARED and comparison.to_current is not None:
            if second is None and first is not None:
                second = carried(first, prior, current, comparison.to_current)
            elif first is None and second is not None:
                first = carried(second, current, prior, comparison.to_current.inverse)
        if first is None or second is None:
            missing = "prior_region" if first is None else "current_region"
            logger.warning("%s: got none; want one, as the other exam's cannot be carried over", missing)
            return []
        return [(first, second)]


def _region(given: str | Mapping[str, Any], exam: Exam) -> Region:
    return read_region(given, exam.image.shape, exam.spacing_mm, [mc.id for mc in exam.findings])
