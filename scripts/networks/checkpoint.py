"""Weights of a whole network, loaded when an engine starts; and how files of PyTorch are read and written.

A file is read with `weights_only`, so that no code in it runs, and refused where its checksums are wrong.
"""

import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from scripts.common.files import write_atomically

logger = logging.getLogger(__name__)


class WeightsError(ValueError):
    """Weights that are missing, unreadable or another network's; the message names the file and what is wanted."""


def weights_digest(network: nn.Module) -> str:
    """Hash of a network's weights."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class LoadWeights:
    """Fill an engine's network, on whatever device it is, from a state dict when the engine starts.

    Args:
        path: file with a plain state dict, or with one under "network" (as in a training checkpoint) or "model".
        optional: "" or None as `path` then loads nothing; else it is an error.
        more_maps: a network with more output maps than the weights is taken, too; its further ones stay as they are.
    """

    def __init__(self, path: str | Path | None, optional: bool = False, more_maps: bool = False) -> None:
        self.path, self.optional, self.more_maps = Path(path) if path else None, optional, more_maps

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights; FileNotFoundError, or WeightsError where the file does not hold this network's."""
        self.load(bare(engine.network))

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
        if self.more_maps:
            state |= {key: _extended(state[key], own[key]) for key in own.keys() & state.keys() if key in HEADS}
        missing, unexpected = [key for key in own if key not in state], [key for key in state if key not in own]
        reshaped = [key for key in own if key in state and getattr(state[key], "shape", None) != own[key].shape]
        if misfits := missing + unexpected + reshaped:
            raise WeightsError(
                f"weights: {self.path} holds weights of another network ({len(missing)} keys missing, "
                f"{len(unexpected)} unexpected, {len(reshaped)} of another shape; first: {misfits[0]}); want {name}: "
                "pass the overlay that belongs to the weights"
            )
        if bad := next(not_finite(state), None):
            raise WeightsError(
                f"weights: {self.path} holds numbers that are not finite, in {bad}: its training diverged; "
                f"want {wanted} of one that did not"
            )
        network.load_state_dict(state)
        logger.info("weights of %s loaded from %s", name, self.path)


def bare(module: Any) -> Any:
    """What DistributedDataParallel or another wrapper holds as its `module`; anything else as it is."""
    return getattr(module, "module", module)


HEADS = ("segmentation_head.0.weight", "segmentation_head.0.bias")  # of the FPN: first dimension output maps


def _extended(few: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
    """Weights of some output maps, and behind them those of the further ones of a network that has more."""
    return torch.cat([few, more[len(few) :].to(few)]) if few.shape[1:] == more.shape[1:] else few


def read_file(path: str | Path) -> Any:
    """What `torch.save` wrote, on the CPU: tensors, numbers, texts and their containers.

    Raises:
        WeightsError: everything else; says of the file what is wrong with it, e.g. "/a/model.pt is cut short".
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type for entry in archive.infolist()):  # as no file of torch's, but a bomb, is
                    raise WeightsError(f"{path} is another archive (TorchScript, say), not written by torch.save")
                if bad := archive.testzip():  # torch does not look at the checksums
                    raise WeightsError(f"{path} is damaged (the checksum of {bad} is wrong)")
        return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        raise WeightsError(f"{path} {fault_of(error)}") from error


def fault_of(error: Exception) -> str:
    """What is wrong with a file that `torch.load` refused, without its advice to read the file unsafely."""
    text = str(error)
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return f"cannot be read ({error.strerror})"
    if "TorchScript" in text:
        return "is a TorchScript archive, whose code is not run"
    if found := re.search(r"(?i)unsupported (?:global:? GLOBAL|global|class) ([\w.]+)", text):
        return f"holds Python objects ({found[1]}), which are not made, as that may run any code"
    if "invalid hash" in text:
        return "is not what its name says: its SHA-256 differs"
    if "central directory" in text or isinstance(error, EOFError):
        return "is cut short"
    return "is damaged, or not written by torch.save"


def write_file(path: Path, state: Mapping[str, Any]) -> None:
    """`torch.save`, atomically; a WeightsError, and nothing is written, where a number is not finite."""
    if bad := next(not_finite(state), None):
        want = "finite ones: the training diverged; lower --optimizer::lr, or look at the data; nothing was written"
        raise WeightsError(f"{path}: got numbers that are not finite, in {bad}; want {want}")
    content = io.BytesIO()  # a full disk then is an OSError, and the file's random name is not in its bytes
    torch.save(state, content)
    write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))


def not_finite(state: Any, name: str = "") -> Iterator[str]:
    """Names of the tensors of a nested state dict that hold an infinity or a NaN, e.g. "network.head.weight"."""
    if isinstance(state, torch.Tensor):
        if state.is_floating_point() and not torch.isfinite(state).all():
            yield name
    elif isinstance(state, Mapping | list | tuple):
        for key, value in state.items() if isinstance(state, Mapping) else enumerate(state):
            yield from not_finite(value, f"{name}.{key}" if name else str(key))


def refuse_other_weights(network: nn.Module, keys: Any) -> None:
    """Hook after `load_state_dict`: a WeightsError where weights were not all this network's, whatever `strict` is.

    MONAI Label loads the file that a user picks with strict=False, and would go on with a network of random weights.
    """
    if misfits := [*keys.missing_keys, *keys.unexpected_keys]:
        counts = f"{len(keys.missing_keys)} keys missing, {len(keys.unexpected_keys)} unexpected; first: {misfits[0]}"
        raise WeightsError(f"weights: got those of another network ({counts}); want {type(network).__name__}'s")


def _read(path: Path, wanted: str) -> dict[str, torch.Tensor]:
    try:
        content = read_file(path)
    except WeightsError as error:
        remedy = "copy or download it again, or save it with torch.save(network.state_dict(), file)"
        raise WeightsError(f"weights: {error}; want {wanted}: {remedy}") from error
    if isinstance(content, Mapping):
        content = next((content[key] for key in ("network", "model") if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"weights: {path} holds no state dict but a {type(content).__name__}; want {wanted}")
    return dict(content)
