"""Patches made by worker processes are those made in the training process, epoch by epoch."""

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset

from scripts.training.handlers import SeedEveryEpoch


class EpochDataset(Dataset):
    """Items tell the epoch that they were made for and their place."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def _transform(self, index):
        return torch.tensor([self.epoch, index])


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_make_the_patches_of_the_running_epoch(workers):
    loader = DataLoader(EpochDataset(list(range(3))), batch_size=1, shuffle=True, num_workers=workers)
    seen = []
    trainer = Engine(lambda engine, batch: seen.append(batch[0].tolist()))
    SeedEveryEpoch(0).attach(trainer)
    trainer.run(loader, max_epochs=3)
    assert [epoch for epoch, _ in seen] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [place for _, place in seen] == ORDER
    assert all(sorted(place for _, place in seen[i : i + 3]) == [0, 1, 2] for i in (0, 3, 6))


def _order():
    seen = []
    loader = DataLoader(EpochDataset(list(range(3))), batch_size=1, shuffle=True)
    trainer = Engine(lambda engine, batch: seen.append(int(batch[0][1])))
    SeedEveryEpoch(0).attach(trainer)
    trainer.run(loader, max_epochs=3)
    return seen


ORDER = _order()
