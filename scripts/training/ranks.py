"""Training on several ranks (processes, one per GPU) that gives what one process gives at the same total batch.

Three things of DistributedDataParallel's usual way would make it another training: a loss that is no mean over images
(soft Dice and hard negatives are of the whole batch), BatchNorm over a rank's part of the batch, and a sampler that
repeats patches. Here the loss and BatchNorm are those of all ranks, and every rank takes its part of the very batches
that a single process draws.
"""

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import torch
from monai.utils import evenly_divisible_all_gather
from torch import distributed, nn
from torch.utils.data import BatchSampler, RandomSampler, Sampler

from scripts.common.checks import check
from scripts.common.ranks import places, rank, ranks


def epoch_seed(seed: int, epoch: int, of_rank: int = 0) -> int:
    """Seed of an epoch's random numbers, another one on each rank; that of rank 0 is a single process's."""
    return int(np.random.SeedSequence([seed, epoch, *([of_rank] if of_rank else [])]).generate_state(1)[0])


class RankBatches(Sampler[list[int]]):
    """Places of this rank's patches: its part of every batch that a single process (`shuffle`, same seed) draws.

    A last batch of fewer patches than ranks is left out, as a rank would have nothing to do.

    Args:
        dataset: the patches.
        batch_size: patches of all ranks together.
        seed: of the training (see `SeedEveryEpoch`).
    """

    def __init__(self, dataset: Sized, batch_size: int, seed: int = 0) -> None:
        check("batch_size", batch_size, batch_size >= ranks(), f"at least one patch for each of {ranks()} ranks")
        self.length, self.batch_size, self.seed, self.epoch = len(dataset), batch_size, seed, 1
        full, rest = divmod(self.length, batch_size)
        self.batches = full + (rest >= ranks())
        check("training data", self.length, self.batches, f"at least one patch for each of {ranks()} ranks")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        with torch.random.fork_rng(devices=()):  # the generator as a single process's loader finds it
            torch.manual_seed(epoch_seed(self.seed, self.epoch))
            torch.empty((), dtype=torch.int64).random_()  # it first draws its workers' seed
            order = RandomSampler(range(self.length))
            whole = list(BatchSampler(order, self.batch_size, drop_last=False))[: self.batches]
        for batch in whole:
            yield [batch[place] for place in places(len(batch))]


def validation_places(dataset: Sized) -> range:
    """Places of this rank's patches of the validation data: each is seen by one rank, once."""
    check("validation data", len(dataset), len(dataset) >= ranks(), f"at least one patch for each of {ranks()} ranks")
    return places(len(dataset))


class LossOfAllRanks(nn.Module):
    """A loss over the patches of all ranks; its value is the same on each of them.

    Every rank computes it of all logits, of which only its own have a gradient. That gradient is made `ranks` times as
    large, because DistributedDataParallel takes the mean over ranks where the sum is right.

    Args:
        loss: of logits and target, each [B, C, rows, cols].
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.module = loss

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss; ranks may have different numbers of patches."""
        count = ranks()
        if count == 1:
            return self.module(logits, target)
        own = logits.to(torch.promote_types(logits.dtype, torch.float32), copy=True)
        if own.requires_grad:
            own.register_hook(lambda gradient: gradient * count)
        parts = evenly_divisible_all_gather(own.detach(), concat=False)
        parts[rank()] = own
        return self.module(torch.cat(list(parts)), evenly_divisible_all_gather(target, concat=True))


class BatchNormOfAllRanks(nn.BatchNorm2d):
    """BatchNorm2d whose statistics in training are of the patches of all ranks; PyTorch's own works on GPUs only."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """[B, C, rows, cols], of the same type as it came."""
        if not self.training or ranks() == 1:
            return super().forward(batch)
        values, axes, shape = batch.to(torch.promote_types(batch.dtype, torch.float32)), (0, 2, 3), (1, -1, 1, 1)
        count = _sum(values.new_tensor(values.numel() / values.shape[1]))
        mean = _sum(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _sum(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale.view(shape) + self.bias.view(shape)).to(batch.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def with_norms_of_all_ranks(network: nn.Module) -> nn.Module:
    """The network with BatchNorm over all ranks; its weights, and their names, stay what they are."""
    if next(network.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            check("affine, track_running_stats", False, module.affine and module.track_running_stats, "both True")
            module.__class__ = BatchNormOfAllRanks
    return network


class _Sum(torch.autograd.Function):
    """Sum over ranks, through which gradients flow back to each of them."""

    @staticmethod
    def forward(context: Any, part: torch.Tensor) -> torch.Tensor:
        total = part.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def _sum(part: torch.Tensor) -> torch.Tensor:
    return _Sum.apply(part)
