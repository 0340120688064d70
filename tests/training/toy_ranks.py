"""A training in float64 on one process or several, and what else two ranks do together: run by test_ranks.py.

As a program, once for each rank: `python tests/training/toy_ranks.py <folder>`; it leaves `rank<n>.json` there.
"""

import json
import sys
from pathlib import Path

import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanIoUHandler, ValidationHandler, from_engine
from monai.transforms import Activationsd, AsDiscreted, Compose
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ConstantLR

from scripts.common.ranks import first_before_others, from_first, gathered, join, leave, places, rank, ranks, wait
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.pixel_curves import PixelCurvesHandler
from scripts.networks.checkpoint import LoadWeights
from scripts.outputs.run_report_of_ranks import RankRunReport
from scripts.training.divergence import StopDivergence
from scripts.training.handlers import MetricsTable, SeedEveryEpoch, TrainingState
from scripts.training.publishing import PublishWeights
from scripts.training.ranks import LossOfAllRanks, RankBatches, validation_places, with_norms_of_all_ranks
from tests.outputs import tiny_run

PATCHES, BATCH = 7, 4  # so that the last batch is uneven: 2 + 1 patches of 2 ranks


class SoftDice(nn.Module):
    """Over the whole batch: no mean of the images' losses."""

    def forward(self, logits, target):
        p = logits.sigmoid()
        return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


def network(seed=0):
    torch.manual_seed(seed)
    first = [nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)]
    return nn.Sequential(*first, nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)).double()


def data(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 16, 16, generator=generator, dtype=torch.float64)
    return Dataset([{"image": image, "label": (image > 0.8).double()} for image in images])


def train(folder, epochs, several=False):
    """Losses of the iterations that were trained now, and the seed of each epoch."""
    bare, patches, others = network(), data(PATCHES, 1), data(3, 2)
    run, loss, loading, validation = bare, SoftDice(), {"batch_size": BATCH, "shuffle": True}, {}
    if several:
        bare = with_norms_of_all_ranks(bare)
        run, loss = DistributedDataParallel(bare), LossOfAllRanks(loss)
        loading = {"batch_sampler": RankBatches(patches, BATCH)}
        validation = {"sampler": validation_places(others)}
    optimizer = torch.optim.Adam(bare.parameters(), lr=0.01)
    scheduler = ConstantLR(optimizer, factor=1.0)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(others, batch_size=2, **validation),
        network=bare,
        postprocessing=Compose(
            [Activationsd("pred", sigmoid=True), AsDiscreted(["pred", "label"], threshold=[0.2, 0.5])]
        ),
        key_val_metric={"iou": MeanIoUHandler(output_transform=from_engine(["pred", "label"]))},
    )
    objects = {"network": bare, "optimizer": optimizer, "scheduler": scheduler}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(patches, **loading),
        network=run,
        optimizer=optimizer,
        loss_function=loss,
        train_handlers=[
            LoadWeights(folder / "given.pt"),
            SeedEveryEpoch(0),
            StopDivergence(),
            LrScheduleHandler(scheduler, print_lr=False),
            ValidationHandler(1, evaluator),
            MetricsTable(folder / "metrics.csv", evaluator),
            PublishWeights(evaluator, folder / "model.pt", folder / "published.pt"),
            TrainingState(folder / "checkpoint.pt", objects, evaluator),
        ],
    )
    losses, drawn = [], []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: drawn.append(torch.initial_seed()))
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(float(engine.state.output[0]["loss"]))
    )
    trainer.run()
    return losses, drawn


def prepared(folder):
    """Weights to start from that are not those of `network()`."""
    folder.mkdir()
    torch.save(network(9).state_dict(), folder / "given.pt")
    return folder


def pixels(images):
    """Pixel counts of numbered images."""
    handler = PixelCurvesHandler()
    for number in images:
        scores = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(number))
        label = (scores > 0.7).to(torch.uint8)
        handler.add({"map": scores, "label": label, "breast": torch.ones(1, 8, 8, dtype=torch.bool)})
    return handler


class CutOff(RankRunReport):
    """As if all ranks were killed when the last image was done."""

    def finish(self):
        self._close()
        wait()  # until all have done their images


def main(folder):
    join()
    told = {"rank": rank(), "ranks": ranks(), "gathered": gathered(rank() * 10), "from_first": from_first(rank() + 5)}
    with first_before_others():
        told["was_there"] = (folder / "made").exists()
        (folder / "made").touch()
    told["losses"], told["drawn"] = train(folder / "two", 2, several=True)
    told["resumed"], _ = train(folder / "one_then_two", 3, several=True)
    for name, kind in (("cut", CutOff), ("again", RankRunReport), ("whole", RankRunReport)):
        tiny_run.DONE.clear()
        out = folder / ("whole" if name == "whole" else "out")
        told[name] = [tiny_run.folder_run(folder / "in", out, kind=kind), len(tiny_run.DONE)]
    froc = FROCHandler()
    froc.cases, froc.places = [f"image {place}" for place in places(5)], [k + 1 for k in range(len(places(5)))]
    froc.failures = [{"file": f"bad {rank()}"}]
    froc.gather()
    counted = pixels(places(5))
    counted.gather()
    told |= {"cases": froc.cases, "failures": froc.failures, "images": counted.images}
    told |= {"auc": counted.histogram.roc_auc(), "ece": counted.calibration.ece}
    (folder / f"rank{rank()}.json").write_text(json.dumps(told))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
