"""Operating points by name: reading, publishing, and every way the file can be wrong."""

import hashlib
import json
from types import SimpleNamespace

import pytest

from scripts.findings.presets import chosen_setting, operating_threshold, preset_threshold, publish_presets

POINTS = {"presets": {"balanced": {"threshold": 0.4}, "specific": {"threshold": 0.7}}}


def test_a_published_point_is_read_back_and_other_methods_stay(tmp_path):
    file = tmp_path / "points.json"
    publish_presets(file, "B", POINTS)
    publish_presets(file, "A", {"presets": {"balanced": {"threshold": 0.1}}})
    publish_presets(file, "B", {"presets": {"balanced": {"threshold": 0.2}}})
    assert preset_threshold(file, "A") == 0.1
    assert preset_threshold(file, "B", "balanced") == 0.2
    assert list(json.loads(file.read_text())) == ["A", "B"]


def test_what_is_missing_is_named(tmp_path):
    file = tmp_path / "points.json"
    with pytest.raises(FileNotFoundError, match=r"points\.json"):
        preset_threshold(file, "A")
    publish_presets(file, "A", POINTS)
    with pytest.raises(ValueError, match="no points of 'C'"):
        preset_threshold(file, "C")
    with pytest.raises(ValueError, match="balanced, specific"):
        preset_threshold(file, "A", "fast")
    assert preset_threshold(file, "C", optional=True) is None
    assert preset_threshold(tmp_path / "none.json", "A", optional=True) is None


def test_points_of_other_weights_are_warned_of_or_left_out(tmp_path, caplog):
    caplog.set_level("INFO", logger="scripts.findings.presets")
    own, other, file = tmp_path / "own.pt", tmp_path / "other.pt", tmp_path / "points.json"
    own.write_bytes(b"a")
    other.write_bytes(b"b")
    digest = hashlib.sha256(b"a").hexdigest()
    publish_presets(file, "A", {**POINTS, "provenance": {"weights": {"file": "own.pt", "sha256": digest}}})
    publish_presets(file, "B", {**POINTS, "provenance": {"weights": None}})  # a method without a network
    assert preset_threshold(file, "A", weights=own) == preset_threshold(file, "A", weights=own, optional=True) == 0.4
    assert preset_threshold(file, "B", weights=other, optional=True) == 0.4
    assert not caplog.records
    assert preset_threshold(file, "A", weights=other, optional=True) is None
    assert preset_threshold(file, "A", weights=other) == 0.4
    assert [r.levelname for r in caplog.records if "other weights" in r.message] == ["INFO", "WARNING"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"A": 3}'])
def test_a_damaged_file_is_refused(tmp_path, text):
    file = tmp_path / "points.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="operating_points"):
        preset_threshold(file, "A")


def test_points_of_other_settings_are_warned_of_or_left_out(tmp_path, caplog):
    caplog.set_level("INFO", logger="scripts.findings.presets")
    file = publish_presets(tmp_path / "points.json", "A", {**POINTS, "provenance": {"settings": {"mirrors": 1}}})
    assert preset_threshold(file, "A", settings={"mirrors": 1, "map_share": 0.3}, optional=True) == 0.4
    assert not caplog.records
    assert preset_threshold(file, "A", settings={"mirrors": 2}, optional=True) is None
    assert preset_threshold(file, "A", settings={"mirrors": 2}) == 0.4
    assert [r.levelname for r in caplog.records if "mirrors 1 (here: 2)" in r.message] == ["INFO", "WARNING"]


def test_a_setting_that_the_points_were_chosen_with(tmp_path):
    file = publish_presets(
        tmp_path / "points.json", "A", {**POINTS, "provenance": {"settings": {"overlap_fraction": 0.4}}}
    )
    assert chosen_setting(file, "A", "overlap_fraction") == 0.4
    for method, name in (("A", "dog_threshold"), ("B", "overlap_fraction")):
        with pytest.raises(ValueError, match=f"holds no {name} of '{method}'"):
            chosen_setting(file, method, name)
    with pytest.raises(FileNotFoundError, match="run choosing"):
        chosen_setting(tmp_path / "none.json", "A", "overlap_fraction")


def test_a_method_whose_own_output_is_a_mask_is_evaluated_at_it(tmp_path):
    file = publish_presets(tmp_path / "points.json", "A", POINTS)
    assert operating_threshold(SimpleNamespace(own_threshold=0.0), file, "A") == 0.0
    assert operating_threshold(SimpleNamespace(own_threshold=None), file, "A", preset="specific") == 0.7
    assert operating_threshold(None, file, "B") is None and operating_threshold(None, tmp_path / "no", "A") is None
