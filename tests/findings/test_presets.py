"""Operating points by name: reading, publishing, and every way the file can be wrong."""

import hashlib
import json

import pytest

from scripts.common.resampling import WorkingGrid
from scripts.findings.baselines import HDoGObjects, MorphologyObjects
from scripts.findings.combining import CandidateObjects
from scripts.findings.peaks import PeakObjects
from scripts.findings.presets import operating_threshold, preset_in_force, preset_threshold, publish_presets
from scripts.inference.no_network import NoNetworkInferer
from scripts.inference.working_grid import WorkingGridInferer

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
    chosen = {"scoring": {"objects": {"class": "PeakObjects", "share": 0.3}, "gone": 1}}
    file = publish_presets(tmp_path / "points.json", "A", {**POINTS, "provenance": chosen})
    same, other = ({"objects": PeakObjects(share=share)} for share in (0.3, 0.4))
    assert preset_threshold(file, "A", settings=same, optional=True) == 0.4
    assert not caplog.records
    assert preset_threshold(file, "A", settings=other, optional=True) is None
    assert preset_threshold(file, "A", settings=other) == 0.4
    assert [r.levelname for r in caplog.records if "objects.share 0.3 (here: 0.4)" in r.message] == ["INFO", "WARNING"]


def test_points_of_version_0_3_0_are_still_read_and_compared(tmp_path, caplog):
    old = {"settings": {"objects_from": "map", "map_share": 0.3, "working_spacing_mm": 0.07, "tile_px": 1024}}
    file = publish_presets(tmp_path / "points.json", "A", {**POINTS, "provenance": old})
    grid = WorkingGridInferer(NoNetworkInferer(), WorkingGrid(0.07))
    assert preset_threshold(file, "A", settings={"objects": PeakObjects(share=0.3), "inferer": grid}) == 0.4
    assert not caplog.records
    preset_threshold(file, "A", settings={"objects": CandidateObjects(overlap_fraction=0.9), "inferer": grid})
    assert "objects_from map (here: candidates)" in caplog.text
    coarse = WorkingGridInferer(NoNetworkInferer(), WorkingGrid(0.1))
    preset_threshold(file, "A", settings={"objects": PeakObjects(share=0.4), "inferer": coarse})
    assert "map_share 0.3 (here: 0.4), working_spacing_mm 0.07 (here: 0.1)" in caplog.text


def test_a_method_whose_output_is_a_mask_is_evaluated_at_that_mask(tmp_path):
    file = publish_presets(tmp_path / "points.json", "A", POINTS)
    preset = {"path": file, "method": "A", "preset": "balanced"}
    assert operating_threshold(HDoGObjects(), **preset) == operating_threshold(MorphologyObjects(), **preset) == 0.0
    assert operating_threshold(PeakObjects(), **preset) == 0.4
    assert operating_threshold(PeakObjects(), **(preset | {"method": "B"})) is None


def test_a_preset_is_named_only_where_the_threshold_comes_from_it(tmp_path):
    file = publish_presets(tmp_path / "points.json", "A", POINTS)
    assert preset_in_force(file, "A", "balanced", 0.4) == "balanced"
    assert preset_in_force(file, "A", "balanced", 0.3) is None
    assert preset_in_force(file, "B", "balanced", 0.4) is None
    assert preset_in_force(tmp_path / "none.json", "A", "balanced", 0.4) is None
