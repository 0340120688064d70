"""Weights of a whole network, loaded when an engine starts."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn

logger = logging.getLogger(__name__)


class WeightsError(ValueError):
    """Weights that are missing, unreadable or another network's; the message names the file and what is wanted."""


class LoadWeights:
    """Fill an engine's network, on whatever device it is, from a state dict when the engine starts.

    Args:
        path: file with a plain state dict, or with one under "network" (as in a training checkpoint) or "model".
        optional: "" or None as `path` then loads nothing; else it is an error.
    """

    def __init__(self, path: str | Path | None, optional: bool = False) -> None:
        self.path, self.optional = Path(path) if path else None, optional

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights; FileNotFoundError, or WeightsError where the file does not hold this network's."""
        self.load(engine.network)

    def load(self, network: nn.Module) -> None:
        """What an engine's start does, for a network without one."""
        name = type(network).__name__
        wanted = f"a state dict (.pt) of {name}"
        if self.path is None:
            if self.optional:
                return
            raise WeightsError(f"weights: no path given; want {wanted}")
        if not self.path.exists():
            example = "e.g. train one with configs/train.json"
            raise FileNotFoundError(f"weights: {self.path} does not exist; want {wanted}, {example}")
        state, own = _read(self.path, wanted), network.state_dict()
        missing, unexpected = [key for key in own if key not in state], [key for key in state if key not in own]
        reshaped = [key for key in own if key in state and getattr(state[key], "shape", None) != own[key].shape]
        if misfits := missing + unexpected + reshaped:
            raise WeightsError(
                f"weights: {self.path} holds weights of another network ({len(missing)} keys missing, "
                f"{len(unexpected)} unexpected, {len(reshaped)} of another shape; first: {misfits[0]}); want {name}: "
                "pass the overlay that belongs to the weights"
            )
        network.load_state_dict(state)
        logger.info("weights of %s loaded from %s", name, self.path)


def _read(path: Path, wanted: str) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"weights: {path} is unreadable ({reason}); want {wanted}") from error
    if isinstance(content, Mapping):
        content = next((content[key] for key in ("network", "model") if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"weights: {path} holds no state dict but a {type(content).__name__}; want {wanted}")
    return dict(content)
