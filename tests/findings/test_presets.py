"""Operating points by name: reading, publishing, and every way the file can be wrong."""

import hashlib
import json

import pytest
from monai.bundle import ConfigParser

from scripts.common.resampling import WorkingGrid
from scripts.findings.baselines import HDoGObjects, MorphologyObjects
from scripts.findings.combining import CandidateObjects
from scripts.findings.peaks import PeakObjects
from scripts.findings.presets import OperatingPoints, publish_presets
from scripts.inference.no_network import NoNetworkInferer
from scripts.inference.working_grid import WorkingGridInferer

POINTS = {"presets": {"balanced": {"threshold": 0.4}, "specific": {"threshold": 0.7}}}


def test_a_published_point_is_read_back_and_other_methods_stay(tmp_path):
    file = tmp_path / "points.json"
    publish_presets(file, "B", POINTS)
    publish_presets(file, "A", {"presets": {"balanced": {"threshold": 0.1}}})
    publish_presets(file, "B", {"presets": {"balanced": {"threshold": 0.2}}})
    assert OperatingPoints(file, "A").threshold() == 0.1
    assert OperatingPoints(file, "B", "balanced").threshold() == 0.2
    assert list(json.loads(file.read_text())) == ["A", "B"]


def test_what_is_missing_is_named(tmp_path):
    file = tmp_path / "points.json"
    with pytest.raises(FileNotFoundError, match=r"points\.json"):
        OperatingPoints(file, "A").threshold()
    publish_presets(file, "A", POINTS)
    with pytest.raises(ValueError, match="no points of 'C'"):
        OperatingPoints(file, "C").threshold()
    with pytest.raises(ValueError, match="balanced, specific"):
        OperatingPoints(file, "A", "fast").threshold()
    assert OperatingPoints(file, "C").threshold(optional=True) is None
    assert OperatingPoints(tmp_path / "none.json", "A").threshold(optional=True) is None


def test_points_of_other_weights_are_warned_of_or_left_out(tmp_path, caplog):
    caplog.set_level("INFO", logger="scripts.findings.presets")
    own, other, file = tmp_path / "own.pt", tmp_path / "other.pt", tmp_path / "points.json"
    own.write_bytes(b"a")
    other.write_bytes(b"b")
    digest = hashlib.sha256(b"a").hexdigest()
    publish_presets(file, "A", {**POINTS, "provenance": {"weights": {"file": "own.pt", "sha256": digest}}})
    publish_presets(file, "B", {**POINTS, "provenance": {"weights": None}})  # a method without a network
    assert (
        OperatingPoints(file, "A", weights=own).threshold()
        == OperatingPoints(file, "A", weights=own).threshold(optional=True)
        == 0.4
    )
    assert OperatingPoints(file, "B", weights=other).threshold(optional=True) == 0.4
    assert not caplog.records
    assert OperatingPoints(file, "A", weights=other).threshold(optional=True) is None
    assert OperatingPoints(file, "A", weights=other).threshold() == 0.4
    assert [r.levelname for r in caplog.records if "other weights" in r.message] == ["INFO", "WARNING"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"A": 3}'])
def test_a_damaged_file_is_refused(tmp_path, text):
    file = tmp_path / "points.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="operating_points"):
        OperatingPoints(file, "A").threshold()


def test_points_of_other_settings_are_warned_of_or_left_out(tmp_path, caplog):
    caplog.set_level("INFO", logger="scripts.findings.presets")
    chosen = {"scoring": {"objects": {"class": "PeakObjects", "share": 0.3}, "gone": 1}}
    file = publish_presets(tmp_path / "points.json", "A", {**POINTS, "provenance": chosen})
    same, other = ({"objects": PeakObjects(share=share)} for share in (0.3, 0.4))
    assert OperatingPoints(file, "A", settings=same).threshold(optional=True) == 0.4
    assert not caplog.records
    assert OperatingPoints(file, "A", settings=other).threshold(optional=True) is None
    assert OperatingPoints(file, "A", settings=other).threshold() == 0.4
    assert [r.levelname for r in caplog.records if "objects.share 0.3 (here: 0.4)" in r.message] == ["INFO", "WARNING"]


def test_points_of_version_0_3_0_are_still_read_and_compared(tmp_path, caplog):
    old = {"settings": {"objects_from": "map", "map_share": 0.3, "working_spacing_mm": 0.07, "tile_px": 1024}}
    file = publish_presets(tmp_path / "points.json", "A", {**POINTS, "provenance": old})
    grid = WorkingGridInferer(NoNetworkInferer(), WorkingGrid(0.07))
    assert OperatingPoints(file, "A", settings={"objects": PeakObjects(share=0.3), "inferer": grid}).threshold() == 0.4
    assert not caplog.records
    OperatingPoints(
        file, "A", settings={"objects": CandidateObjects(overlap_fraction=0.9), "inferer": grid}
    ).threshold()
    assert "objects_from map (here: candidates)" in caplog.text
    coarse = WorkingGridInferer(NoNetworkInferer(), WorkingGrid(0.1))
    OperatingPoints(file, "A", settings={"objects": PeakObjects(share=0.4), "inferer": coarse}).threshold()
    assert "map_share 0.3 (here: 0.4), working_spacing_mm 0.07 (here: 0.1)" in caplog.text


def test_a_method_whose_output_is_a_mask_is_evaluated_at_that_mask(tmp_path):
    file = publish_presets(tmp_path / "points.json", "A", POINTS)
    points = OperatingPoints(file, "A")
    assert points.threshold_of(HDoGObjects()) == points.threshold_of(MorphologyObjects()) == 0.0
    assert points.threshold_of(PeakObjects()) == 0.4
    assert OperatingPoints(file, "B").threshold_of(PeakObjects()) is None


def test_a_preset_is_named_only_where_the_threshold_comes_from_it(tmp_path):
    file = publish_presets(tmp_path / "points.json", "A", POINTS)
    assert OperatingPoints(file, "A").preset_of(0.4) == "balanced"
    assert OperatingPoints(file, "A").preset_of(0.3) is None
    assert OperatingPoints(file, "B").preset_of(0.4) is None
    assert OperatingPoints(tmp_path / "none.json", "A").preset_of(0.4) is None


WRONG = [
    ('{"A": {"presets": {"balanced": {"threshold": 7}}}}', "threshold: got 7"),
    ('{"A": {"presets": {"balanced": {"threshold": NaN}}}}', "threshold: got nan"),
    ('{"A": {"presets": {"balanced": {"threshold": "0.5"}}}}', "threshold: got '0.5'"),
    ('{"A": {"presets": {"balanced": 0.5}}}', "balanced"),
    ('{"A": {"presets": [1]}}', "presets"),
    ("[" * 100_000, "is no JSON"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_points_out_of_range_or_of_another_form_are_named(tmp_path, text, told):
    file = tmp_path / "points.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"operating_points: .*points\.json") as error:
        OperatingPoints(file, "A").threshold()
    assert told in str(error.value)


def test_all_thresholds_are_told_only_where_they_hold(tmp_path, caplog):
    weights, file = tmp_path / "w.pt", tmp_path / "points.json"
    weights.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    publish_presets(file, "A", POINTS | {"provenance": {"weights": {"sha256": digest}}})
    told = {"balanced": {"threshold": 0.4}, "specific": {"threshold": 0.7}}
    assert OperatingPoints(file, "A", weights=weights).thresholds() == told
    weights.write_bytes(b"others")
    assert OperatingPoints(file, "A", weights=weights).thresholds() == {}
    assert OperatingPoints(file, "B").thresholds() == OperatingPoints(tmp_path / "none", "A").thresholds() == {}
    assert not caplog.records


def test_inference_tells_the_presets_that_hold(root):
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / "inference.json")])
    parser["bundle_root"] = str(root)
    points = json.loads((root / "models" / "operating_points.json").read_text())["HDoGReg"]["presets"]
    told = parser.get_parsed_content("operating_point")["presets"]
    assert told == {name: {"threshold": point["threshold"]} for name, point in points.items()} and len(told) == 3
    parser["working_grid::spacing_mm"] = 0.1  # a score means something else then
    parser.parse()
    assert parser.get_parsed_content("operating_point")["presets"] == {}
