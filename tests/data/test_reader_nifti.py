"""NIfTI files, and the MONAI side of the reader."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor, list_data_collate
from monai.transforms import LoadImaged

from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.geometry import to_file_axes
from scripts.data.reader.mammogram_reader import Reading, read_mammogram, read_values
from scripts.transforms.loading import MammogramReader
from tests.data.dicom_factory import ramp
from tests.data.file_factory import EIGHT, nifti, write

READER = "scripts.transforms.loading.MammogramReader"
HERE = Reading(isolated=False)  # a process apart knows nothing of `tiny_images`
READING = "scripts.data.reader.mammogram_reader.Reading"

pytestmark = pytest.mark.usefixtures("tiny_images")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("tail", [(), (1,), (1, 1)])
@pytest.mark.parametrize("signs", [(-1, -1), (-1, 1), (1, -1), (1, 1)])
def test_nifti_is_shown_unmirrored_and_written_back(tmp_path, kind, suffix, tail, signs):
    shown = ramp(6, 9)  # as a reader sees it: columns to patient left, rows to posterior
    stored = shown.T[:: -signs[0], :: -signs[1]].reshape(9, 6, *tail)
    affine = np.diag([signs[0] * 0.05, signs[1] * 0.08, 1, 1])
    path = nifti(tmp_path / f"x{suffix}", stored, affine, kind=kind)
    image, meta = read_mammogram(path)
    np.testing.assert_allclose(image, shown / 4095, atol=1e-6)
    np.testing.assert_array_equal(read_values(path), shown)
    np.testing.assert_array_equal(to_file_axes(shown, meta), stored)
    assert meta["spacing_mm"] == pytest.approx((0.08, 0.05))
    assert (meta["file_shape"], meta["file_flips"]) == (stored.shape, (signs[0] > 0, signs[1] > 0))
    np.testing.assert_allclose(meta["file_affine"], affine, atol=1e-7)


def test_nifti_without_orientation_code_is_not_flipped(tmp_path):
    path = nifti(tmp_path / "x.nii", ramp(9, 6), np.diag([0.05, 0.08, 1, 1]), coded=False)
    image, meta = read_mammogram(path)
    np.testing.assert_allclose(image, ramp(9, 6).T / 4095, atol=1e-6)
    assert meta["file_flips"] == (False, False)


def test_a_result_saved_rows_first_reads_back_upright(tmp_path):
    """What MONAI's SaveImaged writes of our arrays has its first axis along the rows."""
    source = write(tmp_path / "x.png", EIGHT)
    image, meta = read_mammogram(source)
    path = nifti(tmp_path / "y.nii.gz", EIGHT, meta["affine"])
    again, meta = read_mammogram(path)
    np.testing.assert_allclose(again, image, atol=1e-6)
    np.testing.assert_array_equal(to_file_axes(again, meta), again)


def test_nifti_units_scaling_and_implausible_zooms(tmp_path, caplog):
    image = nib.Nifti1Image(ramp(4, 4), np.diag([-50, -80, 1, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "um.nii")
    assert read_mammogram(tmp_path / "um.nii")[1]["spacing_mm"] == pytest.approx((0.08, 0.05))
    assert not caplog.records
    _, meta = read_mammogram(nifti(tmp_path / "mm.nii", ramp(4, 4), np.eye(4)))
    assert (meta["spacing_mm"], meta["spacing_source"]) == ((0.07, 0.07), "default")
    np.testing.assert_array_equal(meta["file_affine"], np.eye(4))  # the file's own, for writing beside it


@pytest.mark.parametrize(
    "values, reason",
    [
        (np.zeros((4, 5, 2), np.uint8), r"shape \(4, 5, 2\)"),
        (np.zeros(4, np.uint8), "shape"),
        (np.full((4, 5), np.inf, np.float32), "NaN or infinite"),
        (np.zeros((4, 5), np.complex64), "complex64"),
        (np.zeros((4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "grey values"),
    ],
)
def test_nifti_refusals(tmp_path, values, reason):
    with pytest.raises(MammogramReadError, match=reason):
        read_mammogram(nifti(tmp_path / "x.nii", values, np.eye(4)))


# MONAI


def test_load_imaged_by_name_instance_and_config(make_mg):
    path = make_mg(WindowCenter=1, WindowWidth=1)
    config = {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True}
    by_config = ConfigParser(
        {
            "t": {
                **config,
                "reader": {"_target_": READER, "reading": {"_target_": READING, "voi": "none", "isolated": False}},
            }
        }
    ).get_parsed_content("t")
    loaders = [
        LoadImaged("image", reader=READER, ensure_channel_first=True, reading=Reading(voi="none", isolated=False)),
        LoadImaged("image", reader=MammogramReader(Reading(voi="none", isolated=False)), ensure_channel_first=True),
        by_config,
    ]
    for load in loaders:
        image = load({"image": str(path)})["image"]
        assert isinstance(image, MetaTensor)
        assert tuple(image.shape) == (1, 12, 17)
        np.testing.assert_allclose(image[0].numpy(), ramp() / 4095, atol=1e-6)
        np.testing.assert_allclose(image.affine, image.meta["file_affine"][:, [1, 0, 2, 3]])
        assert image.pixdim.tolist() == pytest.approx([0.07, 0.07])


def test_monai_does_not_fall_back_on_its_own_readers(make_mg, tmp_path):
    load = LoadImaged("image", reader=READER, reading=HERE)
    with pytest.raises(MammogramReadError, match="FOR PROCESSING"):
        load({"image": make_mg(PresentationIntentType="FOR PROCESSING")})
    with pytest.raises(MammogramReadError, match=r"2 files for one image"):
        load({"image": [make_mg(), make_mg()]})
    allowed = LoadImaged("image", reader=READER, reading=Reading(allow_for_processing=True, isolated=False))
    assert allowed({"image": make_mg(PresentationIntentType="FOR PROCESSING")})["image"].shape == (12, 17)


def test_reader_arguments_are_checked():
    assert MammogramReader().verify_suffix(["any.thing"])
    with pytest.raises(ValueError, match=r"\['allow_for_procesing'\]"):
        MammogramReader(allow_for_procesing=True)
    with pytest.raises(ValueError, match="reading: got 'auto'; want a Reading"):
        MammogramReader("auto")


@pytest.mark.parametrize("workers", [0, 2])
def test_metadata_survives_collation_of_mixed_formats(make_mg, tmp_path, workers):
    paths = [
        make_mg(),
        write(tmp_path / "x.png", ramp()),
        nifti(tmp_path / "x.nii", ramp().T, np.diag([0.07, 0.07, 1, 1])),
    ]
    data = Dataset(
        [{"image": str(path)} for path in paths],
        LoadImaged("image", reader=READER, ensure_channel_first=True, reading=HERE),
    )
    batch = next(iter(DataLoader(data, batch_size=3, num_workers=workers, collate_fn=list_data_collate)))["image"]
    assert tuple(batch.shape) == (3, 1, 12, 17)
    assert batch.meta["file_format"] == ["dicom", "png", "nifti"]
    assert batch.meta["laterality"] == ["L", "", ""]
    keys = [set(read_mammogram(path)[1]) for path in paths]
    assert keys[0] == keys[1] == keys[2]
    assert not any(value is None for value in read_mammogram(paths[0])[1].values())
