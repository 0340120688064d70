"""Fixtures shared by all tests: a tiny phantom data set and tiny weights, made once per session."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
with suppress(ImportError):  # the environments of optional parts lack it
    from hypothesis import settings

    settings.register_profile("the same examples in every run", derandomize=True)
    settings.load_profile("the same examples in every run")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Say how a worker of pytest-xdist died, which it does not: minus the signal's number, or its exit status."""
    if error:
        print(f"{node.gateway.id} ended with {node.gateway._io.popen.wait(10)}", flush=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The bundle's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A generated data set of small phantoms: folder and data list."""
    from scripts.simulation.phantom import phantom_datalist

    folder = tmp_path_factory.mktemp("phantoms")
    datalist = phantom_datalist(
        folder, training=3, validation=1, testing=1, seed=5, shape=(416, 320), empty_fraction=0.0, workers=0
    )
    return folder, datalist


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Untrained weights of both networks, as inference loads them."""
    from scripts.networks.checkpoint import HEADS
    from scripts.networks.fpn import FPN
    from scripts.networks.slim_fcn import SlimFCN

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = FPN(
        encoder="residual",
        out_channels=2,
        pyramid_channels=128,
        segmentation_channels=64,
        detail_channels=16,
        head_bias=-3.0,
    )
    state = network.state_dict()
    state |= {key: torch.cat([state[key], state[key][:1]]) for key in HEADS}  # the cores' map is the first one again
    torch.save(state, folder / "model.pt")
    torch.save(SlimFCN().state_dict(), folder / "slim_fcn.pt")
    return folder
