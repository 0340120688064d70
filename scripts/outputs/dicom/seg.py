"""DICOM segmentation (PS3.3 A.51 and A.52) of one mammogram, in its rows and columns, never mirrored.

    segmentation.dcm           BINARY, one segment that holds all microcalcifications: every viewer takes it
    segmentation_labelmap.dcm  LABELMAP, one segment per mark with its kind and tracking UID; few viewers take it yet

Nothing found is an empty mask: one segment without a pixel.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from scripts.common.calcification_kinds import INDIVIDUAL, METAL
from scripts.common.provenance import bundle_version
from scripts.common.tensors import plane
from scripts.data.reader.geometry import from_file_axes
from scripts.outputs.dicom.codes import CALCIFICATION_TYPES, DCM, SCT, concept
from scripts.outputs.dicom.document import any_patient_name, instance, write
from scripts.outputs.dicom.mammogram import Mammogram, mammogram_of
from scripts.outputs.dicom.tracking import derived_uid

COLOUR = CIELabColor(62.0, 60.0, 60.0)  # orange: L*, a*, b*


def write_segmentation(path: Path, item: Mapping[str, Any], now: datetime | None = None) -> Path:
    """The mask of counted microcalcifications as one BINARY segment."""
    image = mammogram_of(item, "segmentation")
    return write(path, segmentation(image, mask_of(item)), now)


def write_labelmap(path: Path, item: Mapping[str, Any], now: datetime | None = None) -> Path:
    """All marks, one segment each, as LABELMAP: pixel values are the ids of the marks."""
    image = mammogram_of(item, "segmentation_labelmap")
    return write(path, labelmap(image, plane(item["instances"])), now)


def mask_of(item: Mapping[str, Any]) -> np.ndarray:
    """The mask of the counted MCs, bool (rows, cols) as stored: `pred`, else all `instances`."""
    if "pred" not in item:
        return plane(item["instances"]) > 0
    meta, pred = item["image"].meta, np.asarray(item["pred"])[0]
    pred = pred.reshape(pred.shape[:2])
    return from_file_axes(pred, meta.get("file_axes", (1, 0)), meta.get("file_flips", (False, False))) > 0


def segmentation(image: Mammogram, mask: np.ndarray) -> Segmentation:
    """A BINARY segmentation of one segment; mask bool (rows, cols)."""
    uid = derived_uid(image.header.SOPInstanceUID, image.method, "mask")
    segments = [_segment(image, 1, "Microcalcifications", INDIVIDUAL, uid)]
    return _segmentation("segmentation", image, mask.astype(np.uint8), segments)


def labelmap(image: Mammogram, labels: np.ndarray) -> Segmentation:
    """A LABELMAP segmentation of int labels (rows, cols), each the id of one of the report's MCs."""
    marks = [] if image.report is None else image.report["microcalcifications"]
    segments = [
        _segment(image, mc["id"], f"MC {mc['id']}", mc.get("kind", INDIVIDUAL), mc["tracking_uid"]) for mc in marks
    ]
    segments = segments or [_segment(image, 1, "Microcalcifications", INDIVIDUAL, None)]  # at least one must be told
    return _segmentation("segmentation_labelmap", image, labels, segments)


def _segment(image: Mammogram, number: int, label: str, kind: str, tracking_uid: str | None) -> SegmentDescription:
    metal = kind == METAL
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=concept(SCT.PhysicalObject if metal else SCT.MorphologicallyAbnormalStructure),
        segmented_property_type=concept(SCT.ForeignBody if metal else CALCIFICATION_TYPES[kind]),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            image.method, concept(DCM.ArtificialIntelligence), bundle_version()
        ),
        tracking_uid=tracking_uid,
        tracking_id=label if tracking_uid else None,
        anatomic_regions=[concept(SCT.Breast)],
        display_color=COLOUR,
    )


@any_patient_name()
def _segmentation(
    output: str, image: Mammogram, pixels: np.ndarray, segments: Sequence[SegmentDescription]
) -> Segmentation:
    binary = output == "segmentation"
    dataset = Segmentation(
        [image.header],
        pixels.astype(np.uint8 if len(segments) < 256 else np.uint16),
        SegmentationTypeValues.BINARY if binary else SegmentationTypeValues.LABELMAP,
        segments,
        content_label="MICROCALCIF",
        content_description=f"Microcalcifications by {image.method}"[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian if binary else RLELossless,
        omit_empty_frames=False,
        **instance(output, [image]),
    )
    dataset.PatientOrientation = image.header.get("PatientOrientation", "")  # type 2C; highdicom leaves it out
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared:
        if thickness := image.header.get("BodyPartThickness"):
            shared.PixelMeasuresSequence[0].SliceThickness = thickness  # of the compressed breast
        else:  # highdicom writes spacing without a thickness, and refuses to read it
            del shared.PixelMeasuresSequence
    organization = derived_uid("dimensions", dataset.SOPInstanceUID)
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for index in dataset.DimensionIndexSequence:
        index.DimensionOrganizationUID = organization
    return dataset
