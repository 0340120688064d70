"""Test-time averaging: the mean logits of mirrored copies of a tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

#: Axes that are mirrored for 1, 2 and 4 copies.
MIRRORS: dict[int, tuple[tuple[int, ...], ...]] = {1: ((),), 2: ((), (3,)), 4: ((), (3,), (2,), (2, 3))}


class MirrorAverage:
    """A network whose logits are the mean over mirrored copies of its input, each mirrored back.

    Args:
        network: maps [B, C, H, W] to logits of the same H and W.
        copies: 1 (the network as it is), 2 (columns mirrored) or 4 (rows, columns, both).

    Raises:
        ValueError: another number of copies.
    """

    def __init__(self, network: Callable[..., torch.Tensor], copies: int) -> None:
        if copies not in MIRRORS:
            raise ValueError(f"copies: got {copies}; wanted one of {', '.join(map(str, MIRRORS))}")
        self.network, self.mirrors = network, MIRRORS[copies]

    def __call__(self, images: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Mean logits, float32."""
        total: torch.Tensor | None = None
        for axes in self.mirrors:
            logits = _mirrored(self.network(_mirrored(images, axes), *args, **kwargs).float(), axes)
            total = logits if total is None else total + logits
        assert total is not None
        return total / len(self.mirrors)


def _mirrored(images: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    return images.flip(axes) if axes else images
