"""Files appear whole or not at all."""

import json

import numpy as np
import pytest
from PIL import Image

from scripts.common.files import sha256_of, write_atomically, write_json, write_png


def test_a_failing_write_leaves_the_old_file_and_no_debris(tmp_path):
    target = tmp_path / "a" / "x.json"
    write_json(target, {"n": 1})

    def broken(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, broken)
    assert json.loads(target.read_text()) == {"n": 1}
    assert [p.name for p in target.parent.iterdir()] == ["x.json"]


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"n": float("nan")})
    assert not list(tmp_path.iterdir())


def test_pictures_read_back(tmp_path):
    array = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    np.testing.assert_array_equal(np.asarray(Image.open(write_png(tmp_path / "x.png", array))), array)


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert sha256_of(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
