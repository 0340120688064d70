"""A damaged file of the cache, or one of another program, is made anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.data.cache import LEVELS, ImageCache
from scripts.data.reader.errors import MammogramReadError
from scripts.data.text_files import json_content


class Loader:
    """Counts how often it reads."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, item):
        self._count += 1
        image = torch.linspace(0, 1, 4800).reshape(1, 60, 80)
        return {"image": MetaTensor(image, meta={"spacing_mm": (0.07, 0.07)}), "label": (image > 0.5).byte()}


@pytest.fixture
def cached(tmp_path):
    """A loader, and what decodes one item by it, in a new run."""
    loader, file = Loader(), tmp_path / "a.png"
    file.write_bytes(b"x")

    def decode():
        (image,) = ImageCache(loader, tmp_path / "cache", progress=False).decode(
            [{"image": str(file), "image_id": "a"}]
        )
        return image

    return loader, decode


def test_a_whole_one_is_not_read_again(cached):
    loader, decode = cached
    decode()
    image = decode()
    assert loader._count == 1
    assert image.levels[-1, -1] == LEVELS


@pytest.mark.parametrize("name", ["image.npy", "label.npy", ".json"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_a_cut_file_is_made_anew(cached, caplog, name, share):
    loader, decode = cached
    whole = np.array(decode().levels)
    stem = decode().stem
    file = stem + (name if name == ".json" else f"_{name}")
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: int(len(content) * share)])
    again = decode()
    assert loader._count == 2
    assert f"a: {stem} " in caplog.text
    assert "made anew" in caplog.text
    np.testing.assert_array_equal(again.levels, whole)
    assert again.spacing_mm == 0.07


@pytest.mark.parametrize(
    "name, array",
    [
        ("image", np.zeros((60, 80), np.float32)),
        ("image", np.zeros((1, 60, 80), np.uint16)),
        ("image", np.zeros((60, 79), np.uint16)),
        ("image", np.array([{"a": "pickle"}], object)),
        ("label", np.zeros((60, 80), np.uint16)),
        ("label", np.zeros((0, 80), np.uint8)),
    ],
)
def test_an_array_of_a_wrong_shape_or_type_is_made_anew(cached, name, array):
    loader, decode = cached
    np.save(f"{decode().stem}_{name}.npy", array, allow_pickle=True)
    image = decode()
    assert loader._count == 2
    assert (image.levels.dtype, image.levels.shape) == (np.uint16, (60, 80))
    assert (image.label.dtype, image.label.shape) == (np.uint8, (60, 80))


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_json_that_is_nested_too_deep_is_a_clear_error(tmp_path, nested):
    (tmp_path / "deep.json").write_text(nested)
    with pytest.raises(MammogramReadError, match=r"deep\.json: got .*(nested too deep|unreadable)"):
        json_content(tmp_path / "deep.json", "a list")
