"""What a network's map shows in an image: objects, as a source of training windows for `CentreNet`."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch

from scripts.common.checks import check_fields
from scripts.common.tensors import Spacing
from scripts.findings.forming import Objects, Scene
from scripts.findings.peaks import PeakObjects
from scripts.networks.checkpoint import LoadWeights, weights_digest


@dataclass(frozen=True)
class ShownObjects:
    """The objects of a trained network in an image, before any are parted by `CentreNet`."""

    network: torch.nn.Module
    weights: str  # "": no objects of a network are wanted, see `CentrePatches`
    objects: Objects = field(default_factory=PeakObjects)
    score_threshold: float = 0.05

    def __post_init__(self) -> None:
        check_fields(self, score_threshold="[0, 1]")

    @property
    def settings(self) -> dict[str, Any]:
        """For `describe`: the weights by their hash, wherever they lie."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return values | {"weights": weights_digest(self._loaded)[:16] if self.weights else ""}

    def labels(self, image: np.ndarray, spacing_mm: Spacing = (0.07, 0.07)) -> np.ndarray:
        """Numbered objects, int32 (rows, cols), 0 background, of an image, float32 (rows, cols) in [0, 1]."""
        with torch.inference_mode():
            logits = self._loaded(torch.from_numpy(np.ascontiguousarray(image))[None, None])[0].float().numpy()
        return self.objects.form(Scene(image, logits, None, spacing_mm), self.score_threshold).labels

    @cached_property
    def _loaded(self) -> torch.nn.Module:
        LoadWeights(self.weights).load(self.network)
        return self.network.eval()
