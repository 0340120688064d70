"""A mammogram of a study with its results, read back for page and CAD report."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from scripts.candidates.breast_mask import breast_mask
from scripts.common.identity import Identity
from scripts.common.outcomes import NOT_ATTEMPTED
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.isolation import read
from scripts.data.reader.mammogram_reader import AS_SHOWN, Reading
from scripts.findings.follow_up.exams import INSTANCES, finding_of, read_instances
from scripts.outputs.dicom.mammogram import Mammogram, failed_mammogram, is_dicom_input, mammogram_of
from scripts.outputs.dicom.outline import outline
from scripts.outputs.pictures import display_window
from scripts.outputs.study.grouping import Placed
from scripts.outputs.study.pictures import Pictures, breast_box, is_mirrored, pyramid

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Shown:
    """An image as it is shown: its report, outlines of marks, tiles; parts that are not to be had are empty."""

    placed: Placed
    mirrored: bool
    outlines: Mapping[int, np.ndarray]  # id of a mark -> (k, 2) corners (row, col), pixel centres at integers
    picture: Mapping[str, Any] | None  # `pyramid`
    mammogram: Mammogram | None  # for the CAD report
    note: str = ""  # why there is no picture
    spacing_mm: tuple[float, float] = (0.07, 0.07)  # (row, col)
    box: tuple[int, int, int, int] | None = None  # (first row, first col, end row, end col) of the breast and a rim


def read_shown(
    placed: Placed,
    method: str,
    pictures: Pictures | None,
    dicom: bool,
    reading: Reading = AS_SHOWN,
    identity: Identity | None = None,
) -> Shown:
    """An image read back; without `pictures` no tiles are made, without `dicom` no mammogram for the CAD report.

    Of an image without results, the mammogram is shown if it can be read.
    """
    image, identity = placed.image, identity or Identity()
    spacing: Any = (image.report or {}).get("spacing_mm", (0.07, 0.07))
    nothing = Shown(placed, False, {}, None, None, image.reason, (float(spacing[0]), float(spacing[1])))
    if image.source is None:
        return replace(nothing, note=image.reason or "the mammogram is not where the results say")
    failed = _failed(placed, method, identity) if dicom and image.report is None else None
    try:
        pixels, meta = read(image.source, reading)
    except MammogramReadError as error:
        return replace(nothing, note=image.reason or str(error), mammogram=failed)
    report = image.report
    if report is not None and pixels.shape != (report["rows"], report["cols"]):
        return replace(nothing, note="the mammogram is another one now: its size is not that of the results")
    spacing_mm = report["spacing_mm"] if report is not None else meta["spacing_mm"]
    breast = breast_mask(pixels, float(spacing_mm[0]))
    outlines = {} if report is None else _outlines(placed, report, meta, pixels.shape)
    told = None if pictures is None else pyramid(pixels, display_window(pixels, breast)[1], pictures)
    mammogram = failed
    if report is not None and dicom:
        item = {"image": SimpleNamespace(meta=meta), "report": report, "findings": []}
        item["instances"] = np.zeros((1, 1, 1), np.int32)
        mammogram = replace(mammogram_of(item, "cad_sr"), outlines=outlines) if is_dicom_input(item) else None
    mirrored, spacing = is_mirrored(placed.laterality, breast), (float(spacing_mm[0]), float(spacing_mm[1]))
    return Shown(placed, mirrored, outlines, told, mammogram, "", spacing, breast_box(breast, spacing))


def _failed(placed: Placed, method: str, identity: Identity) -> Mammogram | None:
    image = placed.image
    if not image.identity.get("sop_uid") and not identity.hidden:
        return None  # no DICOM file, or one whose header cannot be read
    try:
        return failed_mammogram(str(image.source), method, identity, image.image_id, image.status != NOT_ATTEMPTED)
    except Exception as error:  # whatever a damaged file makes pydicom raise
        logger.debug("%s: no header: %s", image.source, error)
        return None


def _outlines(
    placed: Placed, report: Mapping[str, Any], meta: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[int, np.ndarray]:
    """Outlines of the marks; none where the label map was not written, or is of other results."""
    try:
        labels = read_instances(placed.image.folder / INSTANCES, meta, shape)
    except Exception as error:  # whatever a damaged file makes nibabel raise
        logger.warning("%s: no outlines: %s", placed.image.image_id, error)
        return {}
    if labels is None:
        return {}
    marks = [finding_of(mark) for mark in report["microcalcifications"]]
    return {mark.id: outline(labels, mark) for mark in marks if _fits(labels, mark)}


def _fits(labels: np.ndarray, mark: Any) -> bool:
    top, left, bottom, right = mark.bounding_box
    return int((labels[top:bottom, left:right] == mark.id).sum()) == mark.area_px
