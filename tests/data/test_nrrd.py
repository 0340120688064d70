"""NRRD masks: files as ITK, pynrrd and 3D Slicer write them, headers by hand; every way a picture can lie in a file."""

import bz2
import gzip

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from scripts.data.labels.annotations import load_label
from scripts.data.labels.nrrd import read_nrrd_mask
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import read_mammogram
from tests.data.file_factory import nifti

SPACING = (0.07, 0.07)
SHAPE = (4, 6)  # rows, cols
LABEL = np.zeros(SHAPE, np.uint8)
LABEL[0, 1:4], LABEL[2, 5] = 1, 1
LPS = "(0.07,0,0) (0,0.07,0) (0,0,1)"


def write(path, array, directions=LPS, encoding="gzip", kind="unsigned char", more="", space="left-posterior-superior"):
    """An NRRD of an array whose first axis runs along the columns."""
    data = np.asarray(array).tobytes(order="F")
    packed = {"gzip": gzip.compress, "gz": gzip.compress, "bzip2": bz2.compress}.get(encoding, bytes)(data)
    fields = [f"type: {kind}", f"dimension: {array.ndim}", f"sizes: {' '.join(map(str, array.shape))}"]
    fields += [f"space: {space}", f"space directions: {directions}"] if space else []
    header = "\n".join(["NRRD0004", "# Complete NRRD file", *fields, f"encoding: {encoding}", *more.split(";")])
    path.write_bytes(header.rstrip().encode() + b"\n\n" + packed)
    return path


def label_of(path):
    return load_label(path, SHAPE, SPACING)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz", "bzip2"])
@pytest.mark.parametrize("array", [LABEL.T, LABEL.T[..., None]], ids=["plane", "one slice"])
def test_a_mask_is_read_upright_in_every_encoding(tmp_path, encoding, array):
    assert_array_equal(label_of(write(tmp_path / "a.nrrd", array, encoding=encoding)), LABEL)


@pytest.mark.parametrize(
    ("kind", "dtype", "endian"),
    [("short", "<i2", "little"), ("uint16_t", ">u2", "big"), ("int", ">i4", "big"), ("double", "<f8", "little")],
)
def test_every_type_and_byte_order(tmp_path, kind, dtype, endian):
    values = LABEL.T.astype(dtype)[..., None]
    assert_array_equal(label_of(write(tmp_path / "a.nrrd", values, kind=kind, more=f"endian: {endian}")), LABEL)


@pytest.mark.parametrize("columns", ["xyz"[0], "y"])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_a_label_lies_as_its_nifti_image_whatever_the_axes(tmp_path, columns, signs):
    """The same indices and geometry: what ITK writes for a mask on an image. The reader of images is the reference."""
    axis = {"x": 0, "y": 1}[columns]  # patient axis that file axis 0 follows
    ras = np.zeros((3, 3))
    ras[axis, 0], ras[1 - axis, 1], ras[2, 2] = 0.08 * signs[0], 0.05 * signs[1], 1
    affine = np.eye(4)
    affine[:3, :3] = ras
    values = np.zeros((65, 87), np.uint8)
    values[0, 1:4], values[63, 86] = 1, 1
    image, _ = read_mammogram(nifti(tmp_path / "image.nii", values, affine))
    lps = np.diag([-1, -1, 1]) @ ras
    for space, vectors in (("left-posterior-superior", lps), ("right-anterior-superior", ras)):
        directions = " ".join(f"({','.join(map(str, vector))})" for vector in vectors.T)
        mask = write(tmp_path / "mask.nrrd", values[..., None], directions, space=space)
        assert_array_equal(load_label(mask, image.shape, SPACING), image > 0)


def test_without_directions_it_lies_as_stored(tmp_path):
    assert_array_equal(label_of(write(tmp_path / "a.nrrd", LABEL.T, space="")), LABEL)


def test_the_layers_of_a_slicer_segmentation_are_merged(tmp_path):
    layers = np.stack([LABEL.T * (np.arange(6) < 3)[:, None], LABEL.T * (np.arange(6) >= 3)[:, None]])[..., None]
    file = write(tmp_path / "a.seg.nrrd", layers.astype(np.uint8), f"none {LPS}", more="Segment0_LabelValue:=1")
    assert_array_equal(label_of(file), LABEL)


def test_a_cropped_slicer_segmentation_goes_back_to_its_place(tmp_path):
    cropped = LABEL.T[1:6, 0:3, None]
    offset = "Segmentation_ReferenceImageExtentOffset:=1 0 0"
    assert_array_equal(label_of(write(tmp_path / "a.seg.nrrd", cropped, more=offset)), LABEL)
    with pytest.raises(MammogramReadError, match="shape"):
        label_of(write(tmp_path / "b.seg.nrrd", cropped))
    with pytest.raises(MammogramReadError, match="shape"):
        label_of(write(tmp_path / "b.seg.nrrd", cropped, more=offset.replace("1 0", "3 0")))


def test_two_means_ignore_as_in_any_mask(tmp_path):
    values = LABEL.T.copy()
    values[3, 3] = 2
    assert label_of(write(tmp_path / "a.nrrd", values))[3, 3] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:40], "header has no end"),
        (lambda data: data[:-9], "bytes of values|damaged"),
        (lambda data: data.replace(b"sizes: 6 4", b"sizes: 6 5"), "24 bytes of values; want 30"),
        (lambda data: data.replace(b"sizes: 6 4", b"sizes: 6 2 2"), "two dimensions or one slice"),
        (lambda data: data.replace(b"type: unsigned char", b"type: block"), "'block'"),
        (lambda data: data.replace(b"encoding: gzip", b"encoding: hex"), "in 'hex'"),
        (lambda data: data.replace(b"encoding", b"data file: x.raw\nencoding"), "data file"),
        (lambda data: data.replace(b"sizes: 6 4", b"sizes: six 4"), "damaged NRRD"),
        (lambda data: data.replace(b"(0.07,0,0)", b"(0.07,0,a)"), "damaged NRRD"),
        (lambda data: data.replace(b"sizes: 6 4", b"sizes: 90000 90000"), "90000 x 90000 px"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_file(tmp_path, change, said):
    file = write(tmp_path / "a.nrrd", LABEL.T)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(MammogramReadError, match=said) as error:
        read_nrrd_mask(file, SHAPE)
    assert "a.nrrd" in str(error.value)
