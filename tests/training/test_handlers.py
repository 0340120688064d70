"""Handlers on a toy regression: an interrupted and resumed run equals one that ran through."""

import csv

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandGaussianNoised

from scripts.training.handlers import MetricsTable, PublishWeights, SeedEveryEpoch, TrainingState


class Toy:
    """One linear layer trained on noisy data, with validation that improves in odd epochs."""

    def __init__(self, folder, seed=0, resume=True, publish=None):
        torch.manual_seed(1)
        self.network = torch.nn.Linear(3, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        noise = Compose([RandGaussianNoised(keys="x", prob=0.5, std=1.0)])
        data = Dataset([{"x": torch.full((1, 3), float(i))} for i in range(6)], noise)
        self.loader = DataLoader(data, batch_size=2, shuffle=True)
        self.evaluator = Engine(lambda engine, batch: None)
        self.evaluator.state.metrics, self.evaluator.state.best_metric_epoch = {}, -1
        self.evaluator.state.best_metric = -1.0
        self.trainer = Engine(self.step)
        SeedEveryEpoch(seed, self.loader).attach(self.trainer)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)
        MetricsTable(folder / "metrics.csv", self.optimizer, self.evaluator).attach(self.trainer)
        PublishWeights(self.network, self.evaluator, folder / "model.pt", publish).attach(self.trainer)
        objects = {"network": self.network, "optimizer": self.optimizer}
        TrainingState(folder / "checkpoint.pt", objects, self.evaluator, resume).attach(self.trainer)

    def step(self, engine, batch):
        self.optimizer.zero_grad()
        loss = (self.network(batch["x"]) - 1).square().mean()
        loss.backward()
        self.optimizer.step()
        return [{"loss": loss.item()}]

    def validate(self, engine):
        epoch = engine.state.epoch
        self.evaluator.state.metrics = {"iou": epoch / 10 if epoch % 2 else 0.0}
        if epoch % 2:
            self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch = epoch / 10, epoch

    def run(self, epochs):
        self.trainer.run(self.loader, max_epochs=epochs)
        return self.network.weight.detach().clone()


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
    read = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("whole", "parts")]
    assert read[0] == read[1] and [row["epoch"] for row in read[0]] == list("12345")
    assert all(np.isfinite(float(row["loss"])) for row in read[0])


def test_without_resume_training_starts_anew(tmp_path):
    first = Toy(tmp_path).run(1)
    Toy(tmp_path).run(3)
    assert torch.equal(Toy(tmp_path, resume=False).run(1), first)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    done = Toy(tmp_path).run(2)
    assert torch.equal(Toy(tmp_path).run(2), done)


def test_the_best_epoch_is_kept_and_published_and_the_old_file_survives(tmp_path):
    target = tmp_path / "models" / "model.pt"
    target.parent.mkdir()
    target.write_bytes(b"shipped")
    toy = Toy(tmp_path, publish=target)
    after_three = None

    def keep(engine):
        nonlocal after_three
        if engine.state.epoch == 3:
            after_three = toy.network.weight.detach().clone()

    toy.trainer.add_event_handler(Events.EPOCH_COMPLETED, keep)
    toy.run(4)  # epoch 3 is the best, epoch 4 is not
    published = torch.load(target, weights_only=True)
    assert set(published) == {"weight", "bias"} and torch.equal(published["weight"], after_three)
    assert (tmp_path / "models" / "model.previous.pt").read_bytes() == b"shipped"
