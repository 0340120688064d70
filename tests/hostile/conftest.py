"""The sound files, once, and what is read of them."""

import pytest

from scripts.data.reader.isolation import read_isolated
from tests.hostile.seeds import make_seeds


@pytest.fixture(scope="session")
def seeds(tmp_path_factory):
    """Seed files by name."""
    return make_seeds(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def pixels(seeds):
    """What is read of every seed, float32 (rows, cols), by name."""
    return {name: read_isolated(seed.path)[0] for name, seed in seeds.items()}
