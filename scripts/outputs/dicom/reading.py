"""Results read back from DICOM: what an archive returns can be evaluated and compared like what was written.

    read_mask(path)    segmentation.dcm or segmentation_labelmap.dcm -> labels (rows, cols)
    read_result(path)  any of report_sr.dcm, cad_sr.dcm and both -> findings of each image, clusters, kinds, outcome

What a format does not hold is not there: a segmentation has no scores (NaN) and no clusters, one of a single segment
neither ids nor kinds: its MCs are the connected parts of the mask, numbered in raster order.

Only reports as this bundle writes them are understood; others are a ValueError.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage, MammographyCADSRStorage, SegmentationStorage
from skimage.draw import polygon2mask

from scripts.common.calcification_kinds import EXCLUDED, INDIVIDUAL, METAL
from scripts.common.checks import check
from scripts.common.objects import Microcalcification, label_objects, measure_objects
from scripts.common.outcomes import FAILED, NOT_ATTEMPTED, outcome
from scripts.outputs.dicom.codes import CALCIFICATION_TYPES, DISTRIBUTIONS, OUTCOMES, STATUS

DCM = codes.DCM
LabelMapSegmentationStorage = "1.2.840.10008.5.1.4.1.1.66.7"
KIND_OF = {code.value: kind for kind, code in CALCIFICATION_TYPES.items()}
DISTRIBUTION_OF = {code.value: name for name, code in DISTRIBUTIONS.items()}
FOREIGN_BODY = codes.SCT.ForeignBody.value
OUTCOME_OF = {code.value: outcome for outcome, code in OUTCOMES.items()}


@dataclass
class ImageResult:
    """What a report says about one image."""

    sop_uid: str
    succeeded: bool = True  # whether there is a result; False: there are no findings because it failed or was not tried
    findings: list[Microcalcification] = field(default_factory=list)  # by id, measured of their outlines
    kinds: dict[int, str] = field(default_factory=dict)  # by id
    tracking_uids: dict[int, str] = field(default_factory=dict)
    pixels: dict[int, np.ndarray] = field(default_factory=dict)  # by id, (n, 2) row and column
    clusters: list[dict] = field(default_factory=list)  # id, members, tracking_uid, hull_px, distribution
    count: int | None = None  # of the counted marks; None where the format does not tell it

    def instances(self, shape: tuple[int, int]) -> np.ndarray:
        """The marks in an image of this shape, int32 (rows, cols): their ids, 0 elsewhere."""
        labels = np.zeros(shape, np.int32)
        for number, own in self.pixels.items():
            fits = not len(own) or bool((own.max(axis=0) < shape).all() and own.min() >= 0)
            check(f"MC {number}", f"pixels outside of {shape[0]} x {shape[1]}", fits, "a result of this image")
            labels[tuple(own.T)] = number
        return labels


@dataclass
class Result:
    """What a report says: which algorithms succeeded ("all", "some", "none"), whether there are findings, images."""

    succeeded: str
    found: bool
    images: list[ImageResult]
    attempted: bool = True

    def of_image(self, sop_uid: str) -> ImageResult:
        """What is said of one image; one without a result is refused (ValueError): it looks like no findings."""
        found = next((image for image in self.images if image.sop_uid == sop_uid), None)
        check("sop_uid", sop_uid, found is not None, "an image that the report is about")
        assert found is not None
        check("sop_uid", f"{sop_uid}, an image without a result", found.succeeded, "one that was done")
        return found

    @property
    def outcome(self) -> str:
        """One of `scripts.common.outcomes.OUTCOMES`."""
        if self.succeeded == "none":
            return FAILED if self.attempted else NOT_ATTEMPTED
        return outcome(self.found, self.succeeded == "all")


def read_mask(path: str | Path) -> np.ndarray:
    """Pixel values of a segmentation of one frame, (rows, cols): 1 or the ids of marks, 0 elsewhere."""
    dataset = dcmread(path)
    check(str(path), str(dataset.get("Modality")), dataset.get("Modality") == "SEG", "a DICOM segmentation")
    return np.asarray(pixel_array(dataset, index=0))


def read_result(path: str | Path) -> Result:
    """A measurement report, a CAD report or a segmentation of this bundle."""
    dataset = dcmread(path)
    kind = dataset.get("SOPClassUID", "")
    if kind == MammographyCADSRStorage:
        return _read_cad(dataset)
    if kind in (SegmentationStorage, LabelMapSegmentationStorage):
        return _read_segmentation(dataset)
    want = "a Comprehensive or Mammography CAD SR, or a segmentation"
    check(str(path), str(kind), kind == ComprehensiveSRStorage, want)
    return _read_measurements(dataset)


def _read_segmentation(dataset: Dataset) -> Result:
    """It exists only where the algorithm succeeded; which of its parts did, it does not tell."""
    labels = np.asarray(pixel_array(dataset, index=0)).astype(np.int32)
    result = ImageResult(dataset.SourceImageSequence[0].ReferencedSOPInstanceUID)
    if dataset.SegmentationType == "BINARY":
        labels, _ = label_objects(labels > 0)
    measures = dataset.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    check("segmentation", "no PixelSpacing", bool(measures), "one; read the mask alone (`read_mask`)")
    spacing = measures[0].PixelSpacing
    numbers = np.unique(labels[labels > 0]).tolist()
    scores = np.full(int(labels.max(initial=0)) + 1, np.nan)
    measured = measure_objects(labels, scores, (float(spacing[0]), float(spacing[1])))
    result.findings = [replace(mc, id=number) for number, mc in zip(numbers, measured, strict=True)]
    places = np.argwhere(labels)
    result.pixels = {number: places[labels[labels > 0] == number] for number in numbers}
    result.kinds = dict.fromkeys(numbers, INDIVIDUAL)
    if dataset.SegmentationType != "BINARY":
        for segment in dataset.SegmentSequence:
            if (number := int(segment.SegmentNumber)) in result.kinds:
                result.kinds[number] = KIND_OF.get(segment.SegmentedPropertyTypeCodeSequence[0].CodeValue, METAL)
                result.tracking_uids[number] = segment.TrackingUID
    found = any(kind not in EXCLUDED for kind in result.kinds.values())
    return Result("all", found, [result])


def _read_measurements(report: Dataset) -> Result:
    groups = list(children(first(report, DCM.ImagingMeasurements), DCM.MeasurementGroup))
    about, marks = groups[0], groups[1:]
    (image,) = first(first(report, DCM.ImageLibrary), DCM.ImageLibraryGroup).ContentSequence
    result = ImageResult(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    members: dict[int, list[int]] = {}
    for group in marks:
        named = re.fullmatch(r"(?:cluster (\d+))?(?:, )?(?:MC (\d+))?", tracking_name(group))
        cluster, number = named.groups()  # type: ignore[union-attr]
        corners = corners_of(first(group, DCM.ImageRegion))
        if number is None:
            _add_cluster(result, group, int(cluster), corners)
            continue
        add_mark(result, group, int(number), pixels_of(corners), library_spacing(image))
        if cluster is not None:
            members.setdefault(int(cluster), []).append(int(number))
    for told in result.clusters:
        told["members"] = sorted(members.get(told["id"], []))
    whole = result_of(about, [result])
    result.succeeded = whole.succeeded != "none"
    result.count = round(_number(about, DCM.NumberOfCalcifications)) if result.succeeded else None
    return whole


def _read_cad(report: Dataset) -> Result:
    library = first(report, DCM.ImageLibrary).ContentSequence
    images = [ImageResult(entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for entry in library]
    for impression in children(
        first(report, DCM.CADProcessingAndFindingsSummary), DCM.IndividualImpressionRecommendation
    ):
        finding = first(impression, DCM.SingleImageFinding)
        place = first(finding, DCM.Center).ContentSequence[0].ReferencedContentItemIdentifier[-1] - 1
        result, mm = images[place], library_spacing(library[place])
        inside = list(children(finding, DCM.SingleImageFinding))
        for mark in inside or [finding]:
            own = pixels_of(corners_of(first(mark, DCM.Outline)))
            add_mark(result, mark, int(tracking_name(mark).removeprefix("MC ")), own, mm)
        if inside:
            number = int(tracking_name(finding).removeprefix("cluster "))
            _add_cluster(result, finding, number, corners_of(first(finding, DCM.Outline)))
            result.clusters[-1]["members"] = [int(tracking_name(mark).removeprefix("MC ")) for mark in inside]
    done = set(_successful(report))
    for place, image in enumerate(images, start=1):
        image.findings.sort(key=lambda mc: mc.id)
        image.succeeded = place in done
    return result_of(report, images)


def _successful(report: Dataset) -> Iterator[int]:
    """Places in the library of the images on which a detection succeeded."""
    for part in children(first(report, DCM.SummaryOfDetections), DCM.SuccessfulDetections):
        for performed in children(part, DCM.DetectionPerformed):
            for item in performed.ContentSequence:
                if "ReferencedContentItemIdentifier" in item:
                    yield int(item.ReferencedContentItemIdentifier[-1])


def result_of(item: Dataset, images: Sequence[ImageResult]) -> Result:
    code = first(item, DCM.CADProcessingAndFindingsSummary).ConceptCodeSequence[0].CodeValue
    status = first(item, DCM.SummaryOfDetections).ConceptCodeSequence[0].CodeValue
    return Result(*OUTCOME_OF[code], list(images), status != STATUS["not attempted"].value)


def library_spacing(entry: Dataset) -> tuple[float, float]:
    """(row, col) pixel spacing in mm of an image of the library."""
    return _number(entry, DCM.VerticalPixelSpacing), _number(entry, DCM.HorizontalPixelSpacing)


def add_mark(result: ImageResult, item: Dataset, number: int, own: np.ndarray, mm: tuple[float, float]) -> None:
    result.pixels[number] = own
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
            score=_fraction(_number(item, DCM.CertaintyOfFinding)),
            bounding_box=(*own.min(axis=0).tolist(), *(own.max(axis=0) + 1).tolist()),
        )
    )
    types = [child.ConceptCodeSequence[0].CodeValue for child in children(item, DCM.CalcificationType)]
    values = [child.ConceptCodeSequence[0].CodeValue for child in children(item, DCM.Finding)]
    untold = METAL if FOREIGN_BODY in values else INDIVIDUAL  # individual where the kinds could not be told
    result.kinds[number] = KIND_OF.get(types[0], INDIVIDUAL) if types else untold
    result.tracking_uids[number] = first(item, DCM.TrackingUniqueIdentifier).UID


def _fraction(percent: float) -> float:
    """The number with the fewest digits whose hundredfold, as floating point has it, is this."""
    near = percent / 100
    tried = (near, math.nextafter(near, 0), math.nextafter(near, 1))
    return min((one for one in tried if 100 * one == percent), key=lambda one: len(repr(one)), default=near)


def _add_cluster(result: ImageResult, item: Dataset, number: int, corners: np.ndarray) -> None:
    kinds = [child.ConceptCodeSequence[0].CodeValue for child in children(item, DCM.CalcificationDistribution)]
    told = {"id": number, "hull_px": corners.tolist(), "distribution": DISTRIBUTION_OF[kinds[0]] if kinds else None}
    result.clusters.append(told | {"tracking_uid": first(item, DCM.TrackingUniqueIdentifier).UID})


def children(item: Dataset, name: Code) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        if "ConceptNameCodeSequence" in child and child.ConceptNameCodeSequence[0].CodeValue == name.value:
            yield child


def first(item: Dataset, name: Code) -> Dataset:
    found = next(children(item, name), None)
    check("report", "no " + name.meaning, found is not None, "a report of this bundle")
    assert found is not None
    return found


def tracking_name(item: Dataset) -> str:
    return str(first(item, DCM.TrackingIdentifier).TextValue)


def _number(item: Dataset, name: Code) -> float:
    value = first(item, name).MeasuredValueSequence[0]
    return float(value.get("FloatingPointValue", value.NumericValue))


def corners_of(scoord: Dataset) -> np.ndarray:
    """Corners (k, 2) of a SCOORD, (row, col) with pixel centres at integers; a polygon's last one is its first."""
    corners = np.array(scoord.GraphicData, np.float64).reshape(-1, 2)[:, ::-1] - 0.5
    return corners[:-1] if len(corners) > 1 else corners


def pixels_of(corners: np.ndarray) -> np.ndarray:
    """The pixels (n, 2) of an outline along pixel edges."""
    start = np.ceil(corners.min(axis=0)).astype(int)
    size = tuple((np.floor(corners.max(axis=0)).astype(int) - start + 1).tolist())
    return np.argwhere(polygon2mask(size, corners - start)) + start
