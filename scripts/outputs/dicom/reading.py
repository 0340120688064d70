"""Results read back from DICOM: what an archive returns can be evaluated and compared like what was written.

    read_mask(path)    segmentation.dcm or segmentation_labelmap.dcm -> labels (rows, cols)
    read_result(path)  report_sr.dcm or cad_sr.dcm -> findings of each image, clusters, kinds, outcome

Only reports as this bundle writes them are understood; others are a ValueError.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage, MammographyCADSRStorage
from skimage.draw import polygon2mask

from scripts.common.checks import check
from scripts.common.objects import Microcalcification
from scripts.outputs.dicom.codes import CALCIFICATION_TYPES, DISTRIBUTIONS, INDIVIDUAL, METAL, OUTCOMES

DCM = codes.DCM
KIND_OF = {code.value: kind for kind, code in CALCIFICATION_TYPES.items()}
DISTRIBUTION_OF = {code.value: name for name, code in DISTRIBUTIONS.items()}
OUTCOME_OF = {code.value: outcome for outcome, code in OUTCOMES.items()}


@dataclass
class ImageResult:
    """What a report says about one image."""

    sop_uid: str
    findings: list[Microcalcification] = field(default_factory=list)  # by id, measured of their outlines
    kinds: dict[int, str] = field(default_factory=dict)  # by id
    tracking_uids: dict[int, str] = field(default_factory=dict)
    clusters: list[dict] = field(default_factory=list)  # id, members, tracking_uid, hull_px, distribution


@dataclass
class Result:
    """What a report says: which algorithms succeeded ("all", "some", "none"), whether there are findings, images."""

    succeeded: str
    found: bool
    images: list[ImageResult]


def read_mask(path: str | Path) -> np.ndarray:
    """Pixel values of a segmentation of one frame, (rows, cols): 1 or the ids of marks, 0 elsewhere."""
    dataset = dcmread(path)
    check(str(path), str(dataset.get("Modality")), dataset.get("Modality") == "SEG", "a DICOM segmentation")
    return np.asarray(pixel_array(dataset, index=0))


def read_result(path: str | Path) -> Result:
    """A measurement report or a CAD report of this bundle."""
    dataset = dcmread(path)
    kind = dataset.get("SOPClassUID", "")
    if kind == MammographyCADSRStorage:
        return _read_cad(dataset)
    check(str(path), str(kind), kind == ComprehensiveSRStorage, "a Comprehensive or Mammography CAD SR")
    return _read_measurements(dataset)


def _read_measurements(report: Dataset) -> Result:
    groups = list(_children(_first(report, DCM.ImagingMeasurements), DCM.MeasurementGroup))
    about, marks = groups[0], groups[1:]
    (image,) = _first(_first(report, DCM.ImageLibrary), DCM.ImageLibraryGroup).ContentSequence
    result = ImageResult(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    members: dict[int, list[int]] = {}
    for group in marks:
        cluster, number = re.fullmatch(r"(?:cluster (\d+))?(?:, )?(?:MC (\d+))?", _name(group)).groups()  # type: ignore[union-attr]
        corners = _corners(_first(group, DCM.ImageRegion))
        if number is None:
            _add_cluster(result, group, int(cluster), corners)
            continue
        _add_mark(result, group, int(number), _pixels(corners), _spacing(image))
        if cluster is not None:
            members.setdefault(int(cluster), []).append(int(number))
    for told in result.clusters:
        told["members"] = sorted(members.get(told["id"], []))
    return _result(about, [result])


def _read_cad(report: Dataset) -> Result:
    library = _first(report, DCM.ImageLibrary).ContentSequence
    images = [ImageResult(entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for entry in library]
    for impression in _children(
        _first(report, DCM.CADProcessingAndFindingsSummary), DCM.IndividualImpressionRecommendation
    ):
        finding = _first(impression, DCM.SingleImageFinding)
        place = _first(finding, DCM.Center).ContentSequence[0].ReferencedContentItemIdentifier[-1] - 1
        result, mm = images[place], _spacing(library[place])
        inside = list(_children(finding, DCM.SingleImageFinding))
        for mark in inside or [finding]:
            own = _pixels(_corners(_first(mark, DCM.Outline)))
            _add_mark(result, mark, int(_name(mark).removeprefix("MC ")), own, mm)
        if inside:
            number = int(_name(finding).removeprefix("cluster "))
            _add_cluster(result, finding, number, _corners(_first(finding, DCM.Outline)))
            result.clusters[-1]["members"] = [int(_name(mark).removeprefix("MC ")) for mark in inside]
    for image in images:
        image.findings.sort(key=lambda mc: mc.id)
    return _result(report, images)


def _result(item: Dataset, images: Sequence[ImageResult]) -> Result:
    outcome = _first(item, DCM.CADProcessingAndFindingsSummary).ConceptCodeSequence[0].CodeValue
    return Result(*OUTCOME_OF[outcome], list(images))


def _spacing(entry: Dataset) -> tuple[float, float]:
    """(row, col) pixel spacing in mm of an image of the library."""
    return _number(entry, DCM.VerticalPixelSpacing), _number(entry, DCM.HorizontalPixelSpacing)


def _add_mark(result: ImageResult, item: Dataset, number: int, own: np.ndarray, mm: tuple[float, float]) -> None:
    row, col = own.mean(axis=0).tolist()
    area_mm2 = len(own) * mm[0] * mm[1]
    result.findings.append(
        Microcalcification(
            id=number,
            row=round(row, 3),
            col=round(col, 3),
            y_mm=round(row * mm[0], 4),
            x_mm=round(col * mm[1], 4),
            area_px=len(own),
            area_mm2=round(area_mm2, 6),
            equivalent_diameter_mm=round(2 * (area_mm2 / np.pi) ** 0.5, 4),
            score=_number(item, DCM.CertaintyOfFinding) / 100,
            bounding_box=(*own.min(axis=0).tolist(), *(own.max(axis=0) + 1).tolist()),
        )
    )
    types = [child.ConceptCodeSequence[0].CodeValue for child in _children(item, DCM.CalcificationType)]
    result.kinds[number] = KIND_OF.get(types[0], INDIVIDUAL) if types else METAL
    result.tracking_uids[number] = _first(item, DCM.TrackingUniqueIdentifier).UID


def _add_cluster(result: ImageResult, item: Dataset, number: int, corners: np.ndarray) -> None:
    kinds = [child.ConceptCodeSequence[0].CodeValue for child in _children(item, DCM.CalcificationDistribution)]
    told = {"id": number, "hull_px": corners.tolist(), "distribution": DISTRIBUTION_OF[kinds[0]] if kinds else None}
    result.clusters.append(told | {"tracking_uid": _first(item, DCM.TrackingUniqueIdentifier).UID})


def _children(item: Dataset, name: Code) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        if "ConceptNameCodeSequence" in child and child.ConceptNameCodeSequence[0].CodeValue == name.value:
            yield child


def _first(item: Dataset, name: Code) -> Dataset:
    found = next(_children(item, name), None)
    check("report", "no " + name.meaning, found is not None, "a report of this bundle")
    assert found is not None
    return found


def _name(item: Dataset) -> str:
    return str(_first(item, DCM.TrackingIdentifier).TextValue)


def _number(item: Dataset, name: Code) -> float:
    value = _first(item, name).MeasuredValueSequence[0]
    return float(value.get("FloatingPointValue", value.NumericValue))


def _corners(scoord: Dataset) -> np.ndarray:
    """Corners (k, 2) of a SCOORD, (row, col) with pixel centres at integers; a polygon's last one is its first."""
    corners = np.array(scoord.GraphicData, np.float64).reshape(-1, 2)[:, ::-1] - 0.5
    return corners[:-1] if len(corners) > 1 else corners


def _pixels(corners: np.ndarray) -> np.ndarray:
    """The pixels (n, 2) of an outline along pixel edges."""
    first = np.ceil(corners.min(axis=0)).astype(int)
    size = tuple((np.floor(corners.max(axis=0)).astype(int) - first + 1).tolist())
    return np.argwhere(polygon2mask(size, corners - first)) + first
