"""A training of one linear layer, with the handlers in the order of configs/train.json."""

import csv

import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointLoader, LrScheduleHandler, ValidationHandler
from monai.transforms import Compose, RandGaussianNoised
from torch.optim.lr_scheduler import ConstantLR

from scripts.training.handlers import MetricsTable, SeedEveryEpoch, TrainingState
from scripts.training.publishing import PublishWeights


class Evaluator(SupervisedEvaluator):
    """MONAI's evaluator on one dummy batch, with a metric that improves in odd epochs."""

    def __init__(self):
        network = torch.nn.Identity()
        super().__init__(device="cpu", val_data_loader=[0], network=network, iteration_update=lambda engine, batch: {})
        self.add_event_handler(Events.EPOCH_COMPLETED, self.measure)

    def measure(self):
        epoch = self.state.epoch
        self.state.metrics = {"iou": epoch / 10 if epoch % 2 else 0.0}
        if epoch % 2:
            self.state.best_metric, self.state.best_metric_epoch = epoch / 10, epoch


class Images(Dataset):
    """A data set that says what its images hold, as PatchDataset does."""

    @property
    def settings(self):
        return {"images": self.images}


class Toy:
    """One linear layer trained on noisy data; the handlers in the order of configs/train.json."""

    def __init__(
        self,
        folder,
        seed=0,
        resume=True,
        publish=None,
        optimizer=torch.optim.Adam,
        lr=0.1,
        schedule=None,
        network=None,
        settings=None,
        images="2 images, ab",
        given=None,
        interval=1,
        validated=True,
    ):
        torch.manual_seed(1)
        self.network = network or torch.nn.Linear(3, 1)
        self.optimizer = optimizer(self.network.parameters(), lr=lr)
        self.scheduler = schedule(self.optimizer) if schedule else ConstantLR(self.optimizer, factor=1.0)
        noise = Compose([RandGaussianNoised(keys="x", prob=0.5, std=1.0)])
        data = Images([{"x": torch.full((1, 3), float(i))} for i in range(6)], noise)
        data.images = images
        self.loader = DataLoader(data, batch_size=2, shuffle=True)
        self.evaluator = Evaluator() if validated else None
        self.trainer = Engine(self.step)
        self.trainer.network, self.trainer.optimizer, self.trainer.data_loader = (
            self.network,
            self.optimizer,
            self.loader,
        )
        self.rates = []
        objects = {"network": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler}
        for handler in (
            *([CheckpointLoader(given, {"model": self.network}, strict=False)] if given else []),  # as MONAI Label's
            SeedEveryEpoch(seed),
            LrScheduleHandler(self.scheduler, print_lr=False),
            *([ValidationHandler(interval, self.evaluator)] if validated else []),
            MetricsTable(folder / "metrics.csv", self.evaluator),
            PublishWeights(self.evaluator, folder / "model.pt", publish),
            TrainingState(folder / "checkpoint.pt", objects, self.evaluator, resume, settings),
        ):
            handler.attach(self.trainer)

    def step(self, engine, batch):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        loss = (self.network(batch["x"]) - 1).square().mean()
        loss.backward()
        self.optimizer.step()
        return [{"loss": loss.item()}]

    def run(self, epochs):
        self.trainer.run(self.loader, max_epochs=epochs)
        return next(self.network.parameters()).detach().clone()


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))
