"""Studies of a folder of results: study.json, study.html and one Mammography CAD report each."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.common.checks import check
from scripts.common.files import write_json
from scripts.common.identity import Identity
from scripts.common.outcomes import WITH_RESULT
from scripts.common.tables import write_text
from scripts.data.reader.mammogram_reader import AS_SHOWN, Reading
from scripts.outputs.manifest import read_report
from scripts.outputs.study.content import build_study
from scripts.outputs.study.follow_up import follow_ups_of, read_follow_ups
from scripts.outputs.study.grouping import FILE_RULES, Group, group_images, placed_image
from scripts.outputs.study.page import render_page
from scripts.outputs.study.pictures import Pictures
from scripts.outputs.study.results import Image, read_images
from scripts.outputs.study.shown import Shown, read_shown

logger = logging.getLogger(__name__)

FOLDER = "studies"
#: name in the config's `studies::outputs` -> file in the study's folder
FILES = {"study": "study.json", "page": "study.html", "cad_sr": "cad_sr.dcm"}


@dataclass(frozen=True)
class Studies:
    """Groups the images of a folder of results into studies, and writes `output_dir/studies/<study>/`.

    Mammograms are read again, one at a time. A study that cannot be written is told and costs no other; its former
    files are removed, too.
    """

    output_dir: str | Path
    images: Sequence[Mapping[str, str]] = ()  # the data list, {"image", "image_id"}; else results say where images are
    outputs: Sequence[str] = ("study", "page", "cad_sr")
    follows_run: bool = False  # whether `after_run` writes
    group_files_by: str = "name"  # images without a study UID: "name", "folder" or "image" (see grouping.py)
    follow_ups: str | Path = ""  # folder that is searched for follow_up.json of these images
    pictures: Pictures = field(default_factory=Pictures)
    reading: Reading = AS_SHOWN
    identity: Identity = field(default_factory=Identity)

    def __post_init__(self) -> None:
        for name in self.outputs:
            check("studies::outputs", name, name in FILES, f"some of {', '.join(FILES)}")
        check("studies::follows_run", self.follows_run, isinstance(self.follows_run, bool), "true or false")
        check(
            "studies::group_files_by", self.group_files_by, self.group_files_by in FILE_RULES, " or ".join(FILE_RULES)
        )

    def after_run(self) -> int:
        """`write`, where this is to follow each run."""
        return self.write() if self.follows_run else 0

    def run(self) -> None:
        """`write` as a run of its own: exit status 1 where a study could not be written."""
        if self.write():
            sys.exit(1)

    def write(self) -> int:
        """Write all studies; gives the number of those that could not be written.

        Raises:
            ValueError: the folder holds no results, or that of follow-ups none.
        """
        root = Path(self.output_dir).expanduser()
        sources = {item["image_id"]: str(item["image"]) for item in self.images}
        images = read_images(root, sources, self.identity)
        check("output_dir", str(root), images, "a folder with results of a run")
        run = read_report(root) or {}
        known = read_follow_ups(self.follow_ups) if self.follow_ups else []
        groups = group_images(images, self.group_files_by, self.identity)
        loose = _loose(groups)
        lost = 0
        for group in groups:
            folder = root / FOLDER / group.name
            _remove(folder)
            try:
                self._write_study(group, folder, run, loose if group.study_uid else [], known)
            except Exception as error:  # a damaged result must cost its own study only
                lost += 1
                _remove(folder)
                logger.debug("study %s", group.name, exc_info=error)
                logger.error("study %s: cannot be written: %s: %s", group.name, type(error).__name__, error)
        logger.info("%d of %d studies written: %s", len(groups) - lost, len(groups), root / FOLDER)
        return lost

    def _write_study(
        self,
        group: Group,
        folder: Path,
        run: Mapping[str, Any],
        loose: Sequence[str],
        known: Sequence[Mapping[str, Any]],
    ) -> None:
        now = datetime.now()
        placed = group.in_order()
        folders = {one.image.image_id: f"../../{one.image.image_id}" for one in placed}
        follow_ups = follow_ups_of([one.image for one in placed], known)
        study = build_study(group, run, folders, loose, follow_ups)
        paged, dicom = "page" in self.outputs, "cad_sr" in self.outputs
        shown: list[Shown] = []
        if paged or dicom:
            pictures = self.pictures if paged else None
            shown = [read_shown(one, study["method"], pictures, dicom, self.reading, self.identity) for one in placed]
        if paged:
            priors = [self._prior(entry) for entry in follow_ups if entry["report"]["status"] == "compared"]
            page = render_page(study, shown, priors, now, self.pictures.tile_px)
            write_text(folder / FILES["page"], page)
        if dicom:
            self._write_cad_report(folder / FILES["cad_sr"], group, shown, now)
        if "study" in self.outputs:  # last, as it vouches for the rest
            write_json(folder / FILES["study"], study)

    def _prior(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The prior exam of a follow-up, as it is shown."""
        told = entry["report"]["prior"]
        file = Path(told["file"])
        image = Image(
            told["name"], file.parent, "found", None, "", "", file if file.is_file() else None, told["identity"]
        )
        placed = placed_image(image)
        prior = read_shown(placed, "", self.pictures, False, self.reading, self.identity)
        report: dict[str, Any] = {key: told[key] for key in ("name", "spacing_mm", "rows", "cols")}
        report |= {"summary": {"count": entry["report"]["breast"]["prior"]["count"]}}
        named = replace(placed, image=replace(image, report=report))
        return {"image_id": entry["image_id"], "places": entry["places"], "shown": replace(prior, placed=named)}

    def _write_cad_report(self, path: Path, group: Group, shown: Sequence[Shown], now: datetime) -> None:
        mammograms = [one.mammogram for one in shown if one.mammogram is not None]
        without = [one for one in shown if one.mammogram is None]
        lost = [one.placed.image for one in without if one.placed.image.report is not None]
        if lost or not mammograms:
            why = (
                "not all of its images are DICOM files that are still there" if mammograms else "it has no DICOM image"
            )
            logger.warning("study %s: no %s: %s", group.name, path.name, why)
            return
        from scripts.outputs.dicom.cad_sr import cad_report
        from scripts.outputs.dicom.document import write

        write(path, cad_report(mammograms, unreadable=len(without)), now)


def _remove(folder: Path) -> None:
    for file in FILES.values():
        (folder / file).unlink(missing_ok=True)


def _loose(groups: Sequence[Group]) -> list[str]:
    """Failed images of which nothing says what study they are of."""
    lonely = (group for group in groups if not group.study_uid and len(group.images) == 1)
    images = (group.images[0].image for group in lonely)
    return [image.image_id for image in images if image.status not in WITH_RESULT and not image.identity]
