import numpy as np
import pytest
import torch

from scripts.training.candidate_patches import CandidateDataset, label_candidates


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

    def __init__(self):
        self.rows, self.cols = np.mgrid[:240, :200]

    def __call__(self, item):
        image, label = np.full((240, 200), 0.3), np.zeros((240, 200), np.uint8)
        rng = np.random.default_rng(len(item["image_id"]))
        for index, (row, col) in enumerate((r, c) for r in range(40, 210, 20) for c in range(40, 170, 20)):
            image += 0.3 * np.exp(-((self.rows - row) ** 2 + (self.cols - col) ** 2) / (2 * 1.8**2))
            if index % 20 == 7 and item["image_id"] == "a":
                label[row - 1 : row + 2, col - 1 : col + 2] = 1
        image = np.clip(image + rng.normal(0, 1e-4, image.shape), 0, 1).astype(np.float32)
        return {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(label)[None]}


@pytest.fixture
def make(tmp_path):
    def build(names=("a", "bb"), **more):
        items = [make_item(tmp_path, name) for name in names]
        arguments = {"breast_erosion_px": 5, "progress": False, "patch_px": 31} | more
        return CandidateDataset(items, Loader(), cache_dir=tmp_path / "cache", **arguments)

    return build


def test_twenty_negatives_for_each_positive(make):
    dataset = make()
    labels = [entry["kind"] for entry in dataset.data]
    assert sum(labels) == 3 and len(labels) == 3 * 21
    assert {entry["image_id"] for entry in dataset.data} == {"a", "bb"}
    assert len({(e["image_id"], e["row"], e["col"]) for e in dataset.data}) == len(dataset)
    assert [e["row"] for e in make().data] == [e["row"] for e in dataset.data]  # the seed decides
    assert [e["row"] for e in make(seed=1).data] != [e["row"] for e in dataset.data]
    assert len(make(negatives_per_positive=2).data) == 9


def test_patches_are_centred_on_their_candidate_and_pass_the_transform(make):
    dataset = make(transform=lambda item: {**item, "seen": True})
    for index in (0, len(dataset) - 1):
        item = dataset[index]
        assert item["seen"] and item["image"].shape == (1, 31, 31) and item["image"].dtype == torch.float32
        assert item["label"].tolist() == [float(index == 0)]
        assert item["image"].max() == item["image"][0, 15, 15] == pytest.approx(0.6, abs=0.02)


def test_images_without_an_annotated_candidate_are_refused(make):
    with pytest.raises(ValueError, match="no candidate on an annotated MC: got 1 items"):
        make(names=("bb",))
