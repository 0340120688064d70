"""NRRD masks have the pixels and the geometry of the NIfTI ones, whoever reads them."""

import zlib

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.data.labels.nrrd import read_nrrd_mask
from scripts.data.reader.mammogram_reader import read_mammogram
from scripts.outputs.label_maps import write_instances, write_mask
from scripts.outputs.nrrd import write_instances_nrrd, write_mask_nrrd
from scripts.transforms import RestoreFileGeometryd
from tests.outputs.dicom.drawn import SHAPE, drawn_item, drawn_labels, mammogram_file

AFFINES = {
    "plain": np.diag([-0.07, -0.05, 1.0, 1.0]),
    "turned": np.array([[0.0, 0.05, 0.0, 3.0], [0.07, 0.0, 0.0, -7.5], [0, 0, 2.0, 1.25], [0, 0, 0, 1.0]]),
    "flipped": np.array([[0.07, 0, 0, -11.0], [0, -0.05, 0, 4.0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]),
}


def item_of(file):
    """What postprocessing leaves of a file on which the marks of `drawn` are found."""
    image, meta = read_mammogram(file)
    labels = drawn_labels()
    labels = labels if image.shape == SHAPE else labels.T.copy()
    item = {"image": MetaTensor(torch.from_numpy(image)[None], meta=meta), "instances": labels[None]}
    item["pred"] = (labels > 0).astype(np.uint8)[None]
    item["report"] = {"microcalcifications": [{"id": n, "kind": "individual MC"} for n in range(1, 8)]}
    return RestoreFileGeometryd(keys="pred")(item), labels


@pytest.fixture(params=["dicom", *AFFINES])
def item(request, tmp_path):
    if request.param == "dicom":
        return item_of(mammogram_file(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 4000, (66, 83, 1)).astype(np.int16)
    file = tmp_path / "image.nii.gz"
    nibabel.save(nifti_of(pixels, AFFINES[request.param]), file)
    return item_of(file)


def nifti_of(pixels, affine):
    image = nibabel.Nifti1Image(pixels, affine)
    image.header.set_xyzt_units("mm")
    return image


def both(tmp_path, item):
    """Paths of NIfTI and NRRD, of the mask and of the instances."""
    yield write_mask(tmp_path / "mask.nii.gz", item), write_mask_nrrd(tmp_path / "mask.nrrd", item)
    instances = write_instances(tmp_path / "i.nii.gz", item)
    yield instances, write_instances_nrrd(tmp_path / "i.seg.nrrd", item)


def parts(path):
    """Header fields and values of an NRRD, read by hand."""
    head, values = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:] if ":=" not in line)
    sizes = [int(n) for n in fields["sizes"].split()]
    array = np.frombuffer(zlib.decompress(values, zlib.MAX_WBITS | 16), fields["type"]).reshape(sizes, order="F")
    return fields, array


def vector(text):
    return [float(number) for number in text.strip("()").split(",")]


def test_header_and_values_are_those_of_the_nifti(tmp_path, item):
    for nifti_path, path in both(tmp_path, item[0]):
        fields, array = parts(path)
        image = nibabel.load(nifti_path)
        assert (array == np.asarray(image.dataobj).reshape(array.shape)).all() and array.any()
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
        directions = [vector(text) for text in fields["space directions"].split()]
        np.testing.assert_allclose(np.array(directions).T, lps[:3, :3], rtol=1e-6)  # NIfTI has single precision
        np.testing.assert_allclose(vector(fields["space origin"]), lps[:3, 3], rtol=1e-6)
        assert fields["space"] == "left-posterior-superior" and fields["dimension"] == "3"


def test_they_are_labels_for_training_as_displayed(tmp_path, item):
    made, labels = item
    assert (read_nrrd_mask(write_mask_nrrd(tmp_path / "m.nrrd", made), labels.shape) == (labels > 0)).all()
    assert (read_nrrd_mask(write_instances_nrrd(tmp_path / "i.seg.nrrd", made), labels.shape) == labels).all()


def test_slicer_finds_a_segment_per_mark(tmp_path, item):
    header = write_instances_nrrd(tmp_path / "i.seg.nrrd", item[0]).read_bytes().split(b"\n\n", 1)[0].decode()
    pairs = dict(line.split(":=", 1) for line in header.splitlines() if ":=" in line)
    names = [pairs[f"Segment{n}_Name"] for n in range(7)]
    assert names == [f"MC {n}, individual MC" for n in range(1, 8)]
    assert [int(pairs[f"Segment{n}_LabelValue"]) for n in range(7)] == list(range(1, 8))
    assert len({pairs[f"Segment{n}_ID"] for n in range(7)}) == 7 and "Segment7_ID" not in pairs


def test_an_independent_reader_sees_the_same(tmp_path, item):
    itk = pytest.importorskip("itk")
    for nifti_path, path in both(tmp_path, item[0]):
        first, second = (itk.imread(str(file)) for file in (nifti_path, path))
        second_array = np.squeeze(itk.array_from_image(second))
        assert (np.squeeze(itk.array_from_image(first)) == second_array).all() and second_array.any()
        count = first.GetImageDimension()
        np.testing.assert_allclose(np.array(first.GetSpacing())[:2], np.array(second.GetSpacing())[:2], rtol=1e-6)
        np.testing.assert_allclose(np.array(first.GetOrigin())[:2], np.array(second.GetOrigin())[:2], rtol=1e-6)
        turned = (itk.array_from_matrix(image.GetDirection())[:2, :2] for image in (first, second))
        np.testing.assert_allclose(*turned, atol=1e-6, err_msg=f"{count}-D")


def test_an_empty_mask_of_many_marks(tmp_path):
    item = drawn_item(mammogram_file(tmp_path), marks={})
    fields, array = parts(write_instances_nrrd(tmp_path / "i.seg.nrrd", item))
    assert fields["type"] == "uint8" and not array.any()
