"""Between MONAI's tensors [1, rows, cols] and the arrays and numbers that the pure functions take."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch

Spacing = tuple[float, float]
Data = dict[Hashable, Any]  # what MONAI's dictionary transforms hand on


def plane(tensor: Any) -> np.ndarray:
    """The (rows, cols) array of a [1, rows, cols] tensor or array, wherever it lies."""
    array = tensor.detach().cpu().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
    if array.ndim != 3 or array.shape[0] != 1:
        raise ValueError(f"got an array of shape {array.shape}, want [1, rows, cols]")
    return array[0]


def spacing_of(image: Any) -> Spacing:
    """(row, col) pixel spacing in mm from the metadata of an image read by MammogramReader."""
    meta = getattr(image, "meta", {})
    if "spacing_mm" not in meta:
        raise ValueError("image: metadata holds no spacing_mm; want an image read by MammogramReader")
    row_mm, col_mm = map(float, meta["spacing_mm"])
    return row_mm, col_mm


def row_spacing_of(images: Any, default_mm: float = 0.07) -> float:
    """Row spacing in mm of the first image of a batch [B, 1, rows, cols], its metadata collated or not."""
    rows = getattr(images, "meta", {}).get("spacing_mm", [default_mm])[0]
    return float(torch.as_tensor(rows).flatten()[0])
