import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.candidates.breast_mask import BreastRegion, breast_mask
from scripts.candidates.hdog import HDoGParameters
from scripts.training.candidate_patches import CandidatePatches, label_candidates
from scripts.training.patches import PatchDataset


def test_candidates_near_a_centroid_or_on_the_mc_are_positive():
    label = np.zeros((60, 60), np.uint8)
    label[20, 20] = 1
    label[40:43, 10:31] = 1  # long: centroid (41, 20)
    label[:10, 50:] = 2
    points = [(20, 20), (24, 23), (24, 24), (41, 30), (41, 31), (5, 55), (41, 36)]
    #          on it     5 px away 5.7 px    on it     beside    ignored   16 px from the centroid
    assert label_candidates(np.array(points), label, hit_px=5).tolist() == [1, 1, 0, 1, 0, -1, 0]
    assert label_candidates(np.zeros((0, 2), int), label, 5).shape == (0,)
    assert label_candidates(np.array([(1, 1)]), np.zeros((5, 5), np.uint8), 5).tolist() == [0]


def make_item(tmp_path, name):
    path = tmp_path / name
    path.write_text(name)
    return {"image": str(path), "image_id": name}


class Loader:
    """Stands for the loading chain: MCs on a grid in the first image, look-alikes without annotation in both."""

    def __init__(self, spacing_mm=0.07):
        self.spacing_mm = spacing_mm
        self.rows, self.cols = np.mgrid[:240, :200]

    def __call__(self, item):
        image, label = np.full((240, 200), 0.3), np.zeros((240, 200), np.uint8)
        rng = np.random.default_rng(len(item["image_id"]))
        for index, (row, col) in enumerate((r, c) for r in range(40, 210, 20) for c in range(40, 170, 20)):
            image += 0.3 * np.exp(-((self.rows - row) ** 2 + (self.cols - col) ** 2) / (2 * 1.8**2))
            if index % 20 == 7 and item["image_id"] == "a":
                label[row - 1 : row + 2, col - 1 : col + 2] = 1
        image = np.clip(image + rng.normal(0, 1e-4, image.shape), 0, 1).astype(np.float32)
        image = MetaTensor(torch.from_numpy(image)[None], meta={"spacing_mm": (self.spacing_mm, self.spacing_mm)})
        return {"image": image, "label": torch.from_numpy(label)[None]}


@pytest.fixture
def make(tmp_path):
    def build(names=("a", "bb"), transform=None, seed=0, loader=None, section="training", **more):
        items = [make_item(tmp_path, name) for name in names]
        patches = CandidatePatches(**({"breast": BreastRegion(5), "patch_px": 31} | more))
        return PatchDataset(
            items, loader or Loader(), patches, transform, tmp_path / "cache", section, seed, progress=False
        )

    return build


def places(dataset):
    return [(item["image_id"], item["row"], item["col"]) for item in dataset]


@pytest.mark.parametrize("section", ["training", "validation"])
def test_twenty_negatives_for_each_positive(make, section):
    dataset = make(section=section)
    labels = [item["label"].item() for item in dataset]
    assert sum(labels) == 3 and len(labels) == 3 * 21
    assert {item["image_id"] for item in dataset} == {"a", "bb"}
    assert len(set(places(dataset))) == len(dataset)
    assert places(make(section=section)) == places(dataset)  # the seed decides
    assert places(make(section=section, seed=1)) != places(dataset)
    assert len(make(section=section, negatives_per_positive=2)) == 9


def test_the_breast_is_looked_for_at_the_images_own_pixel_size(make, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "scripts.candidates.breast_mask.breast_mask",
        lambda image, mm, *more: asked.append(mm) or breast_mask(image, mm, *more),
    )
    make(loader=Loader(0.14))
    make(loader=Loader(0.14))  # from the cache
    assert asked == [0.14] * 4


def test_an_image_without_a_pixel_size_is_named(make):
    class Bare(Loader):
        def __call__(self, item):
            return {name: torch.as_tensor(np.asarray(array)) for name, array in super().__call__(item).items()}

    with pytest.raises(ValueError, match="a: got an image without spacing_mm; want one read by MammogramReader"):
        make(loader=Bare())


def test_defaults_are_those_of_wang_and_yang():
    assert CandidatePatches().hdog == HDoGParameters(1.6, 2.0, 1.6, 0.01, reference_spacing_mm=0)
    assert CandidatePatches().breast == BreastRegion(45)


def test_patches_are_centred_on_their_candidate_and_pass_the_transform(make):
    dataset = make(transform=lambda item: {**item, "seen": True})
    for index in (0, len(dataset) - 1):
        item = dataset[index]
        assert item["seen"] and item["image"].shape == (1, 31, 31) and item["image"].dtype == torch.float32
        assert item["label"].tolist() == [float(index == 0)]
        assert item["image"].max() == item["image"][0, 15, 15] == pytest.approx(0.6, abs=0.02)


def test_images_without_an_annotated_candidate_are_refused(make):
    with pytest.raises(
        ValueError,
        match=r"training data: got 1 items, 0 unreadable, and no patch from them; want .* that the DoG finds",
    ):
        make(names=("bb",))
