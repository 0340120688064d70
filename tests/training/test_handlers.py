"""Handlers on a toy regression: an interrupted and resumed run equals one that ran through."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.transforms import Compose
from torch.optim.lr_scheduler import CosineAnnealingLR

from scripts.inference.precision import AutocastInferer
from scripts.networks.slim_fcn import SlimFCN
from scripts.training.augment import Warp
from scripts.training.handlers import TrainingState
from scripts.training.losses import OHEMLoss, ProximityLoss
from scripts.transforms.training import RandWarpPatchd
from tests.training.toy import Toy, rows_of


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(tmp_path):
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        runs.append(Toy(tmp_path / name, seed).run(3))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_resuming_equals_running_through(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = Toy(tmp_path / "whole").run(5)
    Toy(tmp_path / "parts").run(2)
    resumed = Toy(tmp_path / "parts")
    assert torch.equal(resumed.run(5), whole)
    assert resumed.evaluator.state.best_metric_epoch == 5
    read = [rows_of(tmp_path / name) for name in ("whole", "parts")]
    assert read[0] == read[1] and [row["epoch"] for row in read[0]] == list("12345")
    assert all(np.isfinite(float(row["loss"])) for row in read[0])


def test_without_resume_training_starts_anew(tmp_path):
    first = Toy(tmp_path).run(1)
    Toy(tmp_path).run(3)
    assert torch.equal(Toy(tmp_path, resume=False).run(1), first)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    done = Toy(tmp_path).run(2)
    assert torch.equal(Toy(tmp_path).run(2), done)


SETTINGS = {"dataset_dir": Path("data"), "patch_px": [512, 512], "seed": np.int64(3)}


def cosine(t_max):
    return lambda optimizer: CosineAnnealingLR(optimizer, t_max)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"optimizer": torch.optim.SGD}, "optimizer.class 'Adam' there, 'SGD' here"),
        ({"lr": 0.01}, "optimizer.defaults.lr 0.1 there, 0.01 here"),
        ({"schedule": cosine(6)}, "scheduler.T_max 5 there, 6 here"),
        ({"schedule": None}, "scheduler.class 'CosineAnnealingLR' there, 'ConstantLR' here"),
        ({"network": torch.nn.Sequential(torch.nn.Linear(3, 1))}, "network.class 'Linear' there, 'Sequential' here"),
        ({"network": torch.nn.Linear(3, 2)}, "network.out_features 1 there, 2 here"),
        ({"settings": SETTINGS | {"patch_px": [512, 96]}}, "patch_px [512, 512] there, [512, 96] here"),
        ({"settings": SETTINGS | {"extra": None}}, "extra 'absent' there, None here"),
        ({"settings": None}, "dataset_dir 'data' there, 'absent' here"),
        ({"images": "2 images, cd"}, "another split, fold or set of images; train.dataset.images '2 images, ab' there"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other, named):
    same = {"schedule": cosine(5), "settings": SETTINGS}
    Toy(tmp_path, **same).run(2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match="give another output_dir, or --resume False to start anew") as error:
        Toy(tmp_path, **same | other).run(4)
    assert named in str(error.value) and str(tmp_path / "checkpoint.pt") in str(error.value)
    assert str(error.value).count(" there, ") <= 5
    assert (tmp_path / "checkpoint.pt").read_bytes() == before and len(rows_of(tmp_path)) == 2
    Toy(tmp_path, **same).run(3)
    assert len(rows_of(tmp_path)) == 3
    Toy(tmp_path, resume=False, **same | other).run(1)


def test_other_images_or_labels_start_anew_from_given_weights(tmp_path, caplog):
    """A second training of MONAI Label: the published weights are loaded, a label is new or corrected."""
    published = tmp_path / "published.pt"
    torch.save(torch.nn.Linear(3, 1).state_dict(), published)
    Toy(tmp_path, given=published, publish=published).run(3)
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    with caplog.at_level("WARNING"):
        second = Toy(tmp_path, given=published, publish=published, images="3 images, cd")
        starts = []
        second.trainer.add_event_handler(Events.EPOCH_STARTED(once=1), lambda: starts.append(second.network.weight + 0))
        first_weights = torch.load(published, weights_only=True)["weight"]
        second.run(1)
    assert torch.equal(starts[0], first_weights) and "other images or labels" in caplog.text
    assert not torch.equal(torch.load(published, weights_only=True)["weight"], first_weights)
    assert (tmp_path / "checkpoint.previous.pt").read_bytes() == checkpoint
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["1"]
    with pytest.raises(ValueError, match="another split"):  # without weights to start from, as ever
        Toy(tmp_path, images="4 images, ef").run(2)
    with pytest.raises(ValueError, match=r"optimizer\.defaults\.lr"):  # nor where the run differs otherwise too
        Toy(tmp_path, given=published, images="4 images, ef", lr=0.01).run(2)


def test_the_same_images_and_no_more_epochs_say_that_nothing_is_trained(tmp_path, caplog):
    published = tmp_path / "published.pt"
    Toy(tmp_path, publish=published).run(2)
    before = published.read_bytes()
    with caplog.at_level("WARNING"):
        Toy(tmp_path, given=published, publish=published).run(2)
    assert "max_epochs: got 2, and" in caplog.text and "nothing is trained" in caplog.text
    assert published.read_bytes() == before


@dataclasses.dataclass(frozen=True)
class Patches:
    patch_px: int = 64


class PatchList(Dataset):
    """A data set that says what decides its patches, as PatchDataset does."""

    def __init__(self, patches, transform=None):
        super().__init__([torch.zeros(1, 1)] * 2, transform)
        self.patches = patches

    def _transform(self, index):
        return self.data[index]

    @property
    def settings(self):
        return {"patches": self.patches, "transform": self.transform}


def trainer_of(folder, patches=None, transform=None, batch_size=1, loss=None, precision="float32", network=None):
    network = network or SlimFCN(widths=(4, 4, 4, 4, 4))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    objects = {"network": network, "optimizer": optimizer}
    return SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(PatchList(patches or Patches(), transform), batch_size=batch_size),
        network=network,
        optimizer=optimizer,
        loss_function=loss or OHEMLoss(),
        inferer=AutocastInferer(precision),
        iteration_update=lambda engine, batch: {"loss": 0.0},
        train_handlers=[TrainingState(folder / "checkpoint.pt", objects)],
    )


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"patches": Patches(96)}, "train.dataset.patches.patch_px 64 there, 96 here"),
        ({"transform": Compose([RandWarpPatchd(warp=Warp(rotation_deg=5))])}, "RandWarpPatchd.warp.rotation_deg"),
        ({"batch_size": 2}, "train.batch_size 1 there, 2 here"),
        ({"loss": OHEMLoss(ratio=50)}, "train.loss_function.ratio 3.0 there, 50 here"),
        ({"loss": ProximityLoss(positive_weight=8.0)}, "train.loss_function.positive_weight"),
        ({"precision": "bfloat16"}, "train.inferer.precision 'float32' there, 'bfloat16' here"),
        ({"network": SlimFCN(widths=(4, 4, 4, 4, 4), dropout=0.1)}, "network.dropout 0.0 there, 0.1 here"),
    ],
)
def test_what_the_trainer_holds_is_part_of_the_run_without_being_listed(tmp_path, other, named):
    transform = Compose([RandWarpPatchd(warp=Warp())]) if "transform" in other else None
    trainer_of(tmp_path, transform=transform).run()
    trainer_of(tmp_path, transform=transform).run()  # the same again is no other run
    with pytest.raises(ValueError) as error:
        trainer_of(tmp_path, **{"transform": transform} | other).run()
    assert named in str(error.value)


def test_without_validation_the_last_epoch_is_published_and_said_so(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        toy = Toy(tmp_path, publish=tmp_path / "published.pt", validated=False)
    assert "no validation section: no validation runs, the last epoch is published" in caplog.text
    last = toy.run(3)
    assert torch.equal(torch.load(tmp_path / "published.pt", weights_only=True)["weight"], last)
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["1", "2", "3"] and "iou" not in rows_of(tmp_path)[0]
    assert torch.equal(Toy(tmp_path, validated=False).run(4), Toy(tmp_path / "b", validated=False).run(4))


def test_at_most_five_differences_are_named(tmp_path):
    Toy(tmp_path, settings=dict.fromkeys("abcdefg", 1)).run(1)
    with pytest.raises(ValueError, match="; 2 more; give") as error:
        Toy(tmp_path, settings=dict.fromkeys("abcdefg", 2)).run(2)
    assert str(error.value).count("1 there, 2 here") == 5


def test_a_checkpoint_without_fingerprint_is_refused(tmp_path):
    Toy(tmp_path).run(1)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["fingerprint"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint.pt: does not tell the settings .* --resume False"):
        Toy(tmp_path).run(2)


def test_the_table_holds_the_learning_rates_that_were_used(tmp_path):
    first, second = Toy(tmp_path, schedule=cosine(5)), Toy(tmp_path, schedule=cosine(5))
    first.run(2)
    second.run(4)
    written = [float(row["learning_rate"]) for row in rows_of(tmp_path)]
    by_hand = [0.05 * (1 + np.cos(np.pi * epoch / 5)) for epoch in range(4)]
    assert np.allclose(written, by_hand, rtol=5e-3) and np.allclose(
        written, (first.rates + second.rates)[::3], rtol=5e-3
    )


def test_cells_of_epochs_without_validation_stay_empty(tmp_path):
    Toy(tmp_path, interval=2).run(3)
    Toy(tmp_path, interval=2).run(5)
    assert [row["iou"] for row in rows_of(tmp_path)] == ["", "0.000000", "", "0.000000", ""]
