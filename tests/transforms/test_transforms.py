"""The thin classes: what they pass on, what they add, and that they put things back as the file had them."""

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from scripts.candidates.breast_mask import BreastRegion
from scripts.candidates.hdog import HDoGParameters
from scripts.common.tensors import plane
from scripts.data.reader.mammogram_reader import MammogramReadError
from scripts.findings.combining import CandidateObjects
from scripts.findings.components import ComponentObjects
from scripts.findings.peaks import PeakObjects
from scripts.outputs.label_maps import write_mask
from scripts.transforms import (
    BreastMaskd,
    FormObjectsd,
    LoadLabeld,
    LoadMammogramd,
    MeasureFindingsd,
    RestoreFileGeometryd,
)


def mammogram(array, spacing=0.07):
    meta = {"spacing_mm": (spacing, spacing), "filename_or_obj": "x.png"}
    return MetaTensor(torch.from_numpy(np.asarray(array, np.float32))[None], meta=meta)


def blob(shape, row, col, sigma, height=0.4, base=0.3):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return base + height * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * sigma**2))


def test_numbers_with_gaps_become_ids_and_scores_follow():
    labels = np.zeros((6, 6), np.int32)
    labels[0, 0], labels[3, 3], labels[5, 5] = 2, 7, 4
    item = {
        "image": mammogram(np.full((6, 6), 0.5)),
        "instances": torch.from_numpy(labels)[None],
        "scores": np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        "breast": torch.ones(1, 6, 6, dtype=torch.bool),
    }
    out = MeasureFindingsd(method="m", operating_point={"t": 1})(item)
    numbered = plane(out["instances"])
    assert (numbered[0, 0], numbered[5, 5], numbered[3, 3]) == (1, 2, 3) and (numbered > 0).sum() == 3
    assert out["scores"].tolist() == [0, 0.2, 0.4, 0.7]
    assert [(mc.id, mc.row, mc.score) for mc in out["findings"]] == [(1, 0.0, 0.2), (2, 5.0, 0.4), (3, 3.0, 0.7)]
    assert out["report"]["status"] == "found" and out["report"]["operating_point"] == {"t": 1}
    assert out["report"]["breast_area_cm2"] == pytest.approx(36 * 0.07**2 / 100, abs=1e-3)


def test_an_image_without_objects_is_reported_as_such():
    item = {
        "image": mammogram(np.zeros((5, 5))),
        "instances": torch.zeros(1, 5, 5, dtype=torch.int32),
        "scores": np.zeros(1),
        "breast": torch.zeros(1, 5, 5, dtype=torch.bool),
    }
    report = MeasureFindingsd()(item)["report"]
    assert report["status"] == "nothing found" and report["summary"]["count_per_cm2"] is None


def test_candidates_are_scaled_by_the_pixel_spacing():
    # the blob of a 0.035 mm image is that of a 0.07 mm image at twice the size: only scaled sigmas find it whole
    image, within = blob((120, 120), 60, 60, 7).astype(np.float32), np.ones((120, 120), bool)
    scaled = CandidateObjects().candidates(image, within, 0.035)
    unscaled = CandidateObjects(hdog=HDoGParameters(reference_spacing_mm=0)).candidates(image, within, 0.035)
    assert scaled[60, 60] and scaled.sum() > 1.5 * max(unscaled.sum(), 1)


@pytest.mark.parametrize(("spacing", "side"), [(0.07, 45), (0.14, 23), (0.035, 89)])
def test_the_breast_is_eroded_by_the_same_millimetres(spacing, side):
    image = np.zeros((300, 300))
    image[:, :200] = 0.6
    out = BreastMaskd(region=BreastRegion(45))({"image": mammogram(image, spacing)})
    whole, inner = plane(out["breast"]), plane(out["breast_inner"])
    edges = np.flatnonzero(whole[150])[-1], np.flatnonzero(inner[150])[-1]
    assert edges[0] - edges[1] == side // 2


def formed(objects, maps, threshold, image=None, within=None):
    maps = np.asarray(maps, np.float64).clip(1e-6, 1 - 1e-6)
    logits = torch.from_numpy(np.log(maps / (1 - maps)).astype(np.float32))
    shape = maps.shape[1:]
    item = {"pred": logits, "image": mammogram(np.full(shape, 0.3) if image is None else image)}
    item["breast_inner"] = torch.from_numpy(np.ones(shape, bool) if within is None else within)[None]
    return FormObjectsd(objects, threshold)(item)


def test_forming_leaves_mask_numbers_scores_and_map():
    image = blob((40, 40), 10, 12, 1.5) + blob((40, 40), 28, 30, 1.5, base=0)
    proximity = np.where(np.arange(40)[:, None] < 20, 0.8, 0.05) * np.ones((1, 40))
    out = formed(CandidateObjects(), proximity[None], 0.5, image)
    labels = plane(out["instances"])
    assert labels[10, 12] and not labels[28, 30] and labels.dtype == np.int32
    assert out["pred"].dtype == torch.uint8 and np.array_equal(plane(out["pred"]) == 1, labels > 0)
    assert out["scores"][labels[10, 12]] == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_allclose(plane(out["map"]), proximity, atol=1e-6)
    assert plane(formed(CandidateObjects(), proximity[None], 0.01, image)["instances"])[28, 30]


def test_objects_come_from_the_chosen_map():
    maps = np.zeros((2, 9, 9), np.float32)
    maps[0, 1:3, 1:3], maps[1, 1:3, 1:3], maps[1, 6, 6] = 0.8, 0.4, 0.6
    for number, scores in ((0, [0, 0.8]), (1, [0, 0.4, 0.6])):
        out = formed(PeakObjects(map=number), maps, 0.1)
        np.testing.assert_allclose(sorted(out["scores"]), scores, atol=1e-6)
        np.testing.assert_allclose(plane(out["map"]), maps[number], atol=2e-6)
    with pytest.raises(ValueError, match="map: got 1; want one of the network's 1 maps"):
        formed(PeakObjects(map=1), maps[:1], 0.1)
    with pytest.raises(ValueError, match="score_threshold: got 2"):
        FormObjectsd(PeakObjects(), 2)


def test_components_are_formed_anew_at_every_threshold_of_an_evaluation():
    values = np.zeros((9, 9), np.float32)
    values[2, 1:8] = [0.9, 0.5, 0.2, 0.15, 0.2, 0.5, 0.9]
    out = formed(ComponentObjects(steps=9), values[None], 0.0)
    assert len(out["thresholds"]) == 9 and (np.diff(out["thresholds"]) < 0).all()
    assert [out["objects_at"](t)[0].max() for t in (0.7, 0.1)] == [2, 1]
    assert plane(formed(PeakObjects(map=0), values[None], 0.1)["instances"]).max() == 2  # peaks part what joins
    assert "objects_at" not in formed(ComponentObjects(), values[None], 0.5)


@pytest.mark.parametrize("shape", [(66, 99), (66, 99, 1), (66, 99, 1, 1)])
def test_masks_go_back_to_the_files_axes_and_affine(tmp_path, shape):
    values = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    affine = np.array([[0.08, 0, 0, 3], [0, 0.08, 0, -5], [0, 0, 1, 0], [0, 0, 0, 1]])
    file = nibabel.Nifti1Image(values, affine)
    file.header.set_sform(affine, code=1)
    nibabel.save(file, tmp_path / "x.nii")
    read = LoadMammogramd()({"image": str(tmp_path / "x.nii")})["image"]
    assert read.shape == (1, 99, 66)
    out = RestoreFileGeometryd(keys="pred")({"image": read, "pred": torch.from_numpy(plane(read) > 0)[None]})
    assert out["pred"].shape == (1, 66, 99, 1) and out["pred"].dtype == torch.uint8
    np.testing.assert_array_equal(np.asarray(out["pred"][0, ..., 0]), values.reshape(66, 99))
    np.testing.assert_allclose(np.asarray(out["pred"].affine), affine)
    assert tuple(out["image"].meta["spatial_shape"]) == (66, 99, 1)  # what MONAI Label resizes `pred` to
    assert tuple(read.meta["spatial_shape"]) == (99, 66) and torch.equal(out["image"].as_tensor(), read.as_tensor())
    write_mask(tmp_path / "mask.nii", out)
    written = nibabel.load(tmp_path / "mask.nii")
    np.testing.assert_array_equal(np.asarray(written.dataobj), values)  # in the shape of the file
    np.testing.assert_allclose(written.affine, affine)


#: As ITK 5.4 reads such files: spacing along x and y, mm, all along LPS.
@pytest.mark.parametrize(
    ("name", "xy_mm"), [("coded.nii", None), ("uncoded.nii", (0.08, 0.05)), ("x.png", (1, 1)), ("x.tif", (1, 1))]
)
def test_masks_lie_where_viewers_show_the_file(tmp_path, name, xy_mm):
    values = np.arange(66 * 99, dtype=np.uint16).reshape(66, 99)
    affine = np.diag([0.08, -0.05, 1.0, 1.0])
    if name.endswith(".nii"):
        file = nibabel.Nifti1Image(values, affine)
        file.set_sform(affine, code=int(name == "coded.nii"))
        file.set_qform(affine, code=int(name == "coded.nii"))
        nibabel.save(file, tmp_path / name)
    else:
        Image.fromarray(values).save(tmp_path / name)
    read = LoadMammogramd()({"image": str(tmp_path / name)})["image"]
    out = RestoreFileGeometryd(keys="pred")({"image": read, "pred": torch.zeros(read.shape)})
    wanted = affine if xy_mm is None else np.diag([-xy_mm[0], -xy_mm[1], 1, 1])
    np.testing.assert_allclose(np.asarray(out["pred"].affine), wanted, atol=1e-6)


def test_a_refused_file_is_not_read_by_some_other_reader(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"")
    np.save(tmp_path / "x.npy", np.zeros((4, 4)))  # MONAI's NumpyReader would take it
    with pytest.raises(MammogramReadError, match=r"x\.npy"):
        LoadMammogramd()({"image": str(tmp_path / "x.npy")})


def test_a_folder_of_one_file_is_that_file(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 70)).astype(np.uint8)).save(folder / "image.png")
    loaded, wanted = (LoadMammogramd()({"image": path})["image"] for path in (str(folder), folder / "image.png"))
    assert torch.equal(loaded, wanted) and loaded.meta["filename_or_obj"] == str(folder / "image.png")
    (folder / "second.png").write_bytes(b"")
    with pytest.raises(MammogramReadError, match="got a folder of 2 files; want one file"):
        LoadMammogramd()({"image": folder})


def test_labels_are_loaded_for_the_images_shape_and_missing_ones_are_empty(tmp_path):
    (tmp_path / "points.csv").write_text("row,col\n2,3\n")
    image = mammogram(np.zeros((5, 6)))
    loaded = LoadLabeld(keys="label")({"image": image, "label": str(tmp_path / "points.csv")})["label"]
    assert loaded.shape == (1, 5, 6) and loaded.sum() == 1 and loaded[0, 2, 3] == 1
    assert LoadLabeld(keys="label")({"image": image})["label"].sum() == 0


def test_a_label_of_clusters_only_becomes_a_region_to_ignore(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    item = {"image": mammogram(np.zeros((5, 6))), "label": str(tmp_path / "mask.nii"), "annotation": "clusters_only"}
    assert set(np.unique(LoadLabeld(keys="label")(item)["label"])) == {2}


@pytest.mark.parametrize(("breast", "got"), [(slice(0), "no breast"), (slice(10, 20), "a breast so narrow")])
def test_an_image_without_a_breast_to_look_at_is_an_error(breast, got):
    image = np.zeros((120, 120), np.float32)
    image[breast, 5:110] = 0.6
    with pytest.raises(ValueError, match=rf"x\.png: got {got}"):
        BreastMaskd(region=BreastRegion(erosion_px=45))({"image": mammogram(image)})


def test_what_was_read_passes_and_an_array_of_unknown_grey_values_is_refused(tmp_path):
    Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80)).save(tmp_path / "x.png")
    read = LoadMammogramd()({"image": tmp_path / "x.png"})
    assert LoadMammogramd()(read)["image"] is read["image"]
    for array in (np.zeros((15, 20)), torch.zeros(1, 15, 20), MetaTensor(torch.zeros(1, 15, 20))):
        with pytest.raises(ValueError, match=r"image: got .*; want a path, or a mammogram with this bundle's metadata"):
            LoadMammogramd()({"image": array})
