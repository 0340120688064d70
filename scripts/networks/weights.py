"""Weights to start from: published ones, downloaded once, or a local file."""

import logging
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn

from scripts.common.errors import one_line
from scripts.networks.checkpoint import WeightsError, fault_of, not_finite, read_file

logger = logging.getLogger(__name__)

#: The digits after the dash are the start of the file's SHA-256; the download is compared with them.
IMAGENET_URLS = {"inception_v4": "http://data.lip6.fr/cadene/pretrainedmodels/inceptionv4-8e4777a0.pth"}


class EncoderWeightsError(ValueError):
    """Weights that cannot be had or do not fit; the message names the argument, the source and what is wanted."""


def load_encoder_weights(encoder: nn.Module, name: str, source: str) -> None:
    """Fill an encoder (see ``scripts.networks.encoders``) in place; `name` is its name there.

    Args:
        source: "none" (leave as initialised), "imagenet" (published weights, downloaded once to torch's cache), or the
            path of a ``.pth`` / ``.pt`` state dict: of the encoder, of the ImageNet classifier, or of a whole network
            that holds the encoder under ``encoder.``.

    Raises:
        EncoderWeightsError: no such file or published weights, no network, a damaged file, or unfitting keys.
    """
    if source == "none":
        return
    if source == "imagenet" and name not in IMAGENET_URLS:
        raise EncoderWeightsError(
            f"encoder_weights: got 'imagenet' for encoder {name!r}; want the path of a state dict, or 'none' "
            f"(published weights are known for {', '.join(IMAGENET_URLS)})"
        )
    state = fetch_state(IMAGENET_URLS[name] if source == "imagenet" else source, "encoder_weights")
    if any(key.startswith("encoder.") for key in state):
        state = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    state = {key: value for key, value in state.items() if not key.startswith("last_linear.")}  # the classifier
    first_conv = str(encoder.first_conv)
    if first_conv in state:
        state[first_conv] = fit_input_channels(state[first_conv], encoder.state_dict()[first_conv].shape[1])
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        wanted = f"want a state dict of encoder {name!r}: {one_line(error, 300)}"
        raise EncoderWeightsError(f"encoder_weights: got {source}, which does not fit; {wanted}") from error
    logger.info("encoder %s starts from %s", name, source)


def fetch_state(source: str, argument: str) -> dict[str, torch.Tensor]:
    """A plain state dict from a path or a URL (downloaded once to torch's cache, its hash checked).

    Raises:
        EncoderWeightsError: it cannot be had, or is no state dict; names `argument`, which asks for it.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    options = {"model_dir": str(cache), "check_hash": True, "map_location": "cpu", "weights_only": True}
    try:
        if "://" in source:
            state = torch.hub.load_state_dict_from_url(source, **options)
        elif Path(source).is_file():
            state = read_file(source)
        else:
            raise EncoderWeightsError(f"{argument}: got {source}, which is no file; want a .pt or .pth file")
    except WeightsError as error:
        raise EncoderWeightsError(f"{argument}: {error}; want a plain state dict") from error
    except URLError as error:
        raise EncoderWeightsError(
            f"{argument}: could not get {source} ({one_line(error, 300)}); want network access, or the file placed in "
            f"{cache}, or its path as {argument}, or 'none'"
        ) from error
    except EncoderWeightsError:
        raise
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        remedy = f"want a plain state dict: remove its file from {cache}, so that it is downloaded again"
        raise EncoderWeightsError(f"{argument}: {source} {fault_of(error)}; {remedy}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise EncoderWeightsError(f"{argument}: got a {type(state).__name__} in {source}; want a plain state dict")
    if bad := next(not_finite(state), None):
        raise EncoderWeightsError(f"{argument}: {source} holds numbers that are not finite, in {bad}; want finite ones")
    return state


def fit_input_channels(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """The first convolution [out, in, rows, cols] of an RGB network for grey images: summed over its input channels.

    A grey image shown to the RGB network is the same image in each channel, and convolution is linear, so the sum
    of the three kernels responds exactly as the RGB network does (its mean and std are equal for all channels).

    Raises:
        EncoderWeightsError: `in_channels` is neither 1 nor what the weight already has.
    """
    if weight.shape[1] == in_channels:
        return weight
    if in_channels != 1:
        got = f"got {in_channels} for weights of {weight.shape[1]} input channels"
        raise EncoderWeightsError(f"in_channels: {got}; want 1 or as many")
    return weight.sum(dim=1, keepdim=True)
