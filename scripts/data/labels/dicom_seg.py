"""Masks in DICOM segmentations (PS3.3 A.51, A.52): BINARY, FRACTIONAL and LABELMAP.

Of a file that says of some of its segments that they are breast calcifications, these alone count; so arteries, clips
or the breast itself, as segments of their own, are no MCs. Of one that says so of none, all segments count.
"""

from collections.abc import Iterator

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import iter_pixels

from scripts.data.reader.errors import MammogramReadError, PathLike, check_file

STORAGE = "1.2.840.10008.5.1.4.1.1.66."  # .4 binary or fractional, .7 label map
FRACTIONAL, LABELMAP = "FRACTIONAL", "LABELMAP"


def read_seg_mask(path: PathLike, shape: tuple[int, int]) -> np.ndarray | None:
    """uint8 (rows, cols) of 0, 1, as stored, for an image of this shape; None where the file is no segmentation.

    A fractional one is cut at half of its maximum. Frames are read one by one. Errors are MammogramReadErrors.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    if not str(header.get("SOPClassUID", "")).startswith(STORAGE):
        return None
    got = f"a segmentation of {header.get('Rows')} x {header.get('Columns')} px"
    fits = (header.get("Rows"), header.get("Columns")) == tuple(shape)
    check_file(path, fits, got, f"{shape[0]} x {shape[1]} px, the shape of its image")
    mask = np.zeros(shape, bool)
    try:
        numbers = _counted(header)
        kind = str(header.get("SegmentationType", ""))
        half = int(header.get("MaximumFractionalValue") or 1) if kind == FRACTIONAL else 1
        if kind == LABELMAP:
            for frame in iter_pixels(path):
                mask |= (frame != 0) if numbers is None else np.isin(frame, numbers)
        else:
            frames = _packed_frames(path) if header.BitsAllocated == 1 else iter_pixels(path)
            for number, frame in zip(_segment_of_frames(header), frames, strict=True):
                if numbers is None or number in numbers:
                    mask |= 2 * frame.astype(np.uint16) >= half if kind == FRACTIONAL else frame != 0
    except MammogramReadError:
        raise
    except Exception as error:  # of pydicom, on whatever is damaged
        raise MammogramReadError(path, f"a damaged segmentation ({error})", "a complete and valid file") from error
    return mask.astype(np.uint8)


def _packed_frames(path: PathLike) -> Iterator[np.ndarray]:
    """Frames of one bit a pixel; one may begin in the middle of a byte (PS3.5 D), which pydicom does not read alone."""
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        yield from iter_pixels(path)
        return
    count, data = int(dataset.Rows) * int(dataset.Columns), np.frombuffer(dataset.PixelData, np.uint8)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if 8 * data.size < frames * count:
        raise ValueError(f"{data.size} bytes for {frames} frames")
    for start in range(0, frames * count, count):
        bits = np.unpackbits(data[start // 8 : -(-(start + count) // 8)], bitorder="little")
        yield bits[start % 8 :][:count].reshape(dataset.Rows, dataset.Columns)


def _counted(header: Dataset) -> list[int] | None:
    """Numbers of the segments that are MCs; None where no segment says that it is a calcification of the breast."""
    coded = {int(segment.SegmentNumber): _type(segment) for segment in header.get("SegmentSequence", [])}
    if not set(coded.values()) & (mc_codes() | other_codes()):
        return None
    return [number for number, code in coded.items() if code in mc_codes()]


def _type(segment: Dataset) -> tuple[str, str]:
    item = (segment.get("SegmentedPropertyTypeCodeSequence") or [Dataset()])[0]
    return str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeValue", ""))


def _segment_of_frames(header: Dataset) -> Iterator[int | None]:
    """The segment of each frame; None where the file does not say."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    for place in range(int(header.get("NumberOfFrames") or 1)):
        groups = (frames[place] if place < len(frames) else Dataset(), shared)
        told = [
            group["SegmentIdentificationSequence"][0] for group in groups if "SegmentIdentificationSequence" in group
        ]
        yield int(told[0].ReferencedSegmentNumber) if told else None


def mc_codes() -> set[tuple[str, str]]:
    """(scheme, value) of property types that are MCs of a count."""
    from pydicom.sr.codedict import codes

    sct = codes.SCT
    names = (sct.MicrocalcificationsOfTheBreast, sct.IndividualCalcification, sct.CalcificationCluster)
    types = (*names, sct.CoarsePopcornLikeCalcification, sct.LucentCenteredCalcification)
    return {(code.scheme_designator, code.value) for code in types}


def other_codes() -> set[tuple[str, str]]:
    """Those of marks that are none."""
    from pydicom.sr.codedict import codes

    types = (codes.SCT.VascularCalcificationRadiographicFinding, codes.SCT.CalcifiedSkinOfBreast)
    return {(code.scheme_designator, code.value) for code in types}
