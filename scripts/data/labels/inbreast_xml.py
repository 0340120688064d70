"""INbreast annotations: Apple plist XML -> regions of interest (ROIs) -> label mask.

Nine in ten annotated microcalcifications (MCs) are single points; larger ones are closed contours. ``Cluster``
ovals say that MCs are somewhere inside without labelling them one by one.
"""

import logging
import plistlib
import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError

import numpy as np

from scripts.common.labels import IGNORE, MC
from scripts.common.text import printable
from scripts.data.labels.drawing import FARTHEST_PX, Pixels, contour_pixels, point_pixels
from scripts.data.reader.errors import MammogramReadError, check_file

logger = logging.getLogger(__name__)

LARGEST_AREA_CM2 = 1e6  # beyond it a number is no area
TYPE_OVAL, TYPE_CONTOUR, TYPE_POINT = 9, 15, 19  # the viewer's tool numbers: oval, pencil, 2-D point
# The viewer counts from the corner of the first pixel, we count from its centre: its (0.5, 0.5) is our (0, 0).
PIXEL_CENTRE_PX = 0.5
POINT_PX = re.compile(r"^\(\s*([^,\s]+)\s*,\s*([^,\s]+)\s*\)$")
VIEWER_DEFAULT_NAME = re.compile(r"^((unnamed|point|roi)\s*\d*)?$")
OTHER_FINDINGS = ("mass", "asym", "assym", "asim", "spiculated", "espiculated", "distortion", "pectoral")


class Roi(NamedTuple):
    """One region of interest of an annotation file."""

    finding: str  # "mc" (one individually labelled MC), "region" (MCs inside, not labelled one by one) or "other"
    name: str  # as written in the file
    kind: int  # `TYPE_POINT`, `TYPE_CONTOUR`, `TYPE_OVAL` or another number of the viewer
    points: np.ndarray  # (N, 2) [row, col] px, pixel centres at integers
    area_cm2: float  # the viewer's own area, at 0.07 mm/px; 0 for points


def read_rois(path: str | Path) -> list[Roi]:
    """Read the ROIs of one INbreast XML file.

    MammogramReadError names a file that is missing, not a plist, declares XML entities (refused by `plistlib`, so that
    it cannot expand or fetch anything), lacks a key, or contradicts its own counts.
    """
    try:
        content = plistlib.loads(Path(path).read_bytes(), fmt=plistlib.FMT_XML)
    except OSError as error:
        raise MammogramReadError(path, f"no readable file ({error.strerror})", "an INbreast XML file") from error
    except (ExpatError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise MammogramReadError(path, f"malformed XML ({error})", "an Apple plist in XML") from error
    images: Any = content.get("Images") if isinstance(content, dict) else None
    got = f"{len(images)} images" if isinstance(images, list) else "no list 'Images'"
    check_file(path, got == "1 images", got, "'Images' with the one image of this file")
    image = images[0]
    has_rois = isinstance(image, dict) and isinstance(image.get("ROIs"), list)
    check_file(path, has_rois, "an image without a list 'ROIs'", "Images[0] = {NumberOfROIs, ROIs: [...]}")
    rois = [_parse_roi(entry, f"ROI {number}", path) for number, entry in enumerate(image["ROIs"])]
    stated = image.get("NumberOfROIs", len(rois))
    check_file(path, stated == len(rois), f"{len(rois)} ROIs", f"NumberOfROIs = {stated}")
    return rois


def annotation_of(rois: list[Roi]) -> str:
    """How completely the MCs of an image are labelled: "full", "clusters_only" or "none" (no MC is known).

    "full" means that MCs are labelled one by one; single clusters of such an image may still be ignore regions.
    """
    findings = {roi.finding for roi in rois if len(roi.points)}
    return "full" if "mc" in findings else "clusters_only" if "region" in findings else "none"


def rois_to_label(
    rois: list[Roi], shape: tuple[int, int], contour: str = "spline", source: str | Path = "ROIs"
) -> np.ndarray:
    """Draw the ROIs of an image of this shape into a label, uint8 (rows, cols): 0 background, 1 MC, 2 ignore.

    Individual MCs become 1. A cluster that holds at least one of them counts as labelled and leaves no trace; one that
    holds none becomes 2 (ignore). Other findings are not drawn. A contour whose points are the viewer's control points
    is drawn as the spline that the viewer shows; ovals carry 200 points and are drawn as they are. `contour` is the way
    of `contour_pixels`; `source` names the file in messages about ROIs without points or outside of the image.
    """
    label = np.zeros(shape, np.uint8)
    drawn = [(roi, _roi_pixels(roi, shape, contour)) for roi in rois if roi.finding != "other"]
    if lost := [roi.name for roi, pixels in drawn if not len(pixels[0])]:
        where = f"without a point inside of the {shape} image"
        logger.warning("%s: %d ROIs %s are dropped: %s", printable(source), len(lost), where, lost)
    for roi, pixels in drawn:
        if roi.finding == "mc":
            label[pixels] = MC
    for roi, pixels in drawn:
        if roi.finding == "region" and not (label[pixels] == MC).any():
            label[pixels] = IGNORE
    return label


def classify_name(name: str, single_point: bool) -> str:
    """Finding of a ROI name: "mc", "region" or "other"; case, spacing, plurals and misspelt endings do not matter.

    A name that the viewer gave by default ("Unnamed", "Point 3", none) on a single point is an MC, since only MCs
    were marked by points; on an outline it is a region of unknown content, to be ignored.
    """
    words = " ".join(name.split()).lower()
    if "cluster" in words:
        return "region"
    if "calcif" in words:
        return "mc"
    if VIEWER_DEFAULT_NAME.match(words):
        return "mc" if single_point else "region"
    if not words.startswith(OTHER_FINDINGS):
        logger.warning("ROI name %r is unknown and not taken for a microcalcification", name)
    return "other"


def _parse_roi(entry: Any, where: str, path: str | Path) -> Roi:
    has_points = isinstance(entry, dict) and isinstance(entry.get("Point_px"), list)
    check_file(path, has_points, f"{where} without a list 'Point_px'", "the points of every ROI")
    texts, name = entry["Point_px"], entry.get("Name", "")
    check_file(path, isinstance(name, str | int | float), f"{where} with a {type(name).__name__} as its Name", "a text")
    name = str(name)
    stated = entry.get("NumberOfPoints", len(texts))
    got = f"{where} ({name!r}) with {len(texts)} points"
    check_file(path, stated == len(texts), got, f"NumberOfPoints = {stated}")
    points = np.array([_parse_point(text, where, path) for text in texts], np.float64).reshape(-1, 2)
    kind, area = entry.get("Type", TYPE_CONTOUR), entry.get("Area", 0.0)
    numbers = isinstance(kind, int) and isinstance(area, int | float) and abs(area) <= LARGEST_AREA_CM2
    check_file(path, numbers, f"{where} of Type {kind!r} and Area {area!r}", "numbers")
    finding = classify_name(name, single_point=kind == TYPE_POINT or len(points) == 1)
    return Roi(finding, name, kind, points, float(area))


def _parse_point(text: Any, where: str, path: str | Path) -> tuple[float, float]:
    """ "(x, y)" -> (row, col)."""
    text = text if isinstance(text, str) else f"({type(text).__name__})"
    match = POINT_PX.match(text.strip())
    try:
        x, y = map(float, match.groups() if match else ("nan", "nan"))
    except ValueError:
        x = y = np.nan
    near = abs(x) <= FARTHEST_PX and abs(y) <= FARTHEST_PX
    check_file(path, near, f"{where} with the point {text!r}", f"'(x, y)', both numbers within +-{FARTHEST_PX:g} px")
    return y - PIXEL_CENTRE_PX, x - PIXEL_CENTRE_PX


def _roi_pixels(roi: Roi, shape: tuple[int, int], contour: str) -> Pixels:
    if roi.kind == TYPE_POINT:
        return point_pixels(roi.points, shape)
    return contour_pixels(roi.points, shape, "polygon" if roi.kind == TYPE_OVAL else contour)
