"""Fixtures for tests that need mammogram files."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.data.dicom_factory import mg_dataset, save


@pytest.fixture
def make_mg(tmp_path: Path) -> Callable[..., Path]:
    """Writes an MG DICOM file; arguments of `mg_dataset`, and `bare`."""
    numbers = count()

    def make(*args, bare: bool = False, **tags) -> Path:
        return save(mg_dataset(*args, **tags), tmp_path / f"mg{next(numbers)}.dcm", bare)

    return make


@pytest.fixture
def tiny_images(monkeypatch):
    """Arrays of a few pixels, with values worked out by hand, are mammograms (for reading in this process)."""
    monkeypatch.setattr("scripts.data.reader.plausible.MIN_SIDE_PX", 1)
