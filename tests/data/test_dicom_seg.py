"""DICOM segmentations as labels: the same as the NIfTI mask of the same result; arteries and the breast are no MCs."""

import numpy as np
import pytest

pytest.importorskip("highdicom")

import nibabel
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from numpy.testing import assert_array_equal
from pydicom import dcmread
from pydicom.sr.codedict import codes

from scripts.data.labels.annotations import load_label
from scripts.data.reader.errors import MammogramReadError
from scripts.outputs.dicom.seg import write_labelmap, write_segmentation
from scripts.outputs.label_maps import write_mask
from tests.outputs.dicom.drawn import KINDS, SHAPE, SPACING, drawn_item, drawn_labels, mammogram_file

MM = (SPACING, SPACING)


@pytest.fixture
def file(tmp_path):
    return mammogram_file(tmp_path)


def segmentation(file, frames, types, kind="BINARY"):
    """Somebody else's segmentation: (n, rows, cols) segments of these property types."""
    source = dcmread(file)
    algorithm = AlgorithmIdentificationSequence("other", codes.DCM.ArtificialIntelligence, "1")
    segments = [
        SegmentDescription(n, f"s{n}", codes.SCT.MorphologicallyAbnormalStructure, code, "AUTOMATIC", algorithm)
        for n, code in enumerate(types, start=1)
    ]
    pixels = np.stack(frames, axis=-1)[None]
    made = Segmentation([source], pixels, kind, segments, "1.2.3", 1, "1.2.3.4", 1, "m", "m", "1", "1")
    path = file.with_name(f"{kind}.dcm")
    made.save_as(path)
    return path


def test_the_label_is_that_of_the_nifti_mask(tmp_path, file):
    item = drawn_item(file, kinds=True)
    nifti = load_label(write_mask(tmp_path / "mask.nii.gz", item), SHAPE, MM)
    for write in (write_segmentation, write_labelmap):
        assert_array_equal(load_label(write(tmp_path / f"{write.__name__}.dcm", item), SHAPE, MM), nifti)
    assert nifti.any() and np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj).shape[:2] == SHAPE[::-1]
    excluded = [n for n, kind in KINDS.items() if kind != "individual MC"]
    assert not nifti[np.isin(drawn_labels(), excluded)].any()


def test_nothing_found_is_an_empty_label(tmp_path, file):
    for write in (write_segmentation, write_labelmap):
        assert not load_label(write(tmp_path / "seg.dcm", drawn_item(file, marks={})), SHAPE, MM).any()


def drawn(*marks):
    return [drawn_labels() == n for n in marks]


def test_of_coded_segments_only_calcifications_count(file):
    types = [codes.SCT.CalcificationCluster, codes.SCT.Breast, codes.SCT.VascularCalcificationRadiographicFinding]
    path = segmentation(file, drawn(1, 5, 6), types)
    assert_array_equal(load_label(path, SHAPE, MM), drawn(1)[0])


def test_without_such_codes_all_segments_count(file):
    path = segmentation(file, drawn(1, 5), [codes.SCT.Lesion, codes.SCT.Lesion])
    assert_array_equal(load_label(path, SHAPE, MM), drawn(1)[0] | drawn(5)[0])


def test_arteries_alone_are_an_empty_label(file):
    path = segmentation(file, drawn(5), [codes.SCT.VascularCalcificationRadiographicFinding])
    assert not load_label(path, SHAPE, MM).any()


def test_fractional_ones_are_cut_at_half(file):
    frames = [drawn(1)[0] * 0.6 + drawn(2)[0] * 0.4]
    path = segmentation(file, frames, [codes.SCT.IndividualCalcification], "FRACTIONAL")
    assert_array_equal(load_label(path, SHAPE, MM), drawn(1)[0])


def test_another_size_and_damage_are_named(file, tmp_path):
    path = write_segmentation(tmp_path / "seg.dcm", drawn_item(file))
    with pytest.raises(MammogramReadError, match=r"seg.dcm: got a segmentation of 83 x 66 px; want 66 x 83 px"):
        load_label(path, SHAPE[::-1], MM)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MammogramReadError, match=r"cut.dcm: got a damaged segmentation"):
        load_label(cut, SHAPE, MM)
