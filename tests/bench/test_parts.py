"""The bench's parts on small phantoms and untrained weights: they run the configs' own chains."""

import itertools
import sys
import time

import pytest

from scripts.bench import __main__ as command
from scripts.bench.commands import command_section, run_command, untrained_weights
from scripts.bench.growth import growth_sections
from scripts.bench.measure import Stopwatch
from scripts.bench.outputs import outputs_section
from scripts.bench.references import bench_candidates, bench_network, plain_map, shipped_map
from scripts.bench.scoring import scoring_section
from scripts.bench.stages import (
    HDOGREG,
    HDOGREG_CANDIDATES,
    PAPER,
    SLIM_FCN,
    STAGES,
    StagedMethod,
    stage_times,
)
from scripts.bench.training import RECIPES, training_rows
from scripts.outputs.writer import WRITERS


@pytest.fixture(scope="module")
def file(phantoms):
    return phantoms[1]["testing"][0]["image"]


def weights_of(method, tiny_weights):
    return str(tiny_weights / ("slim_fcn.pt" if method is SLIM_FCN else "model.pt"))


@pytest.mark.parametrize("method", [HDOGREG, HDOGREG_CANDIDATES, SLIM_FCN], ids=lambda method: method.name)
def test_stages_are_timed_and_the_results_written(method, file, tiny_weights, tmp_path):
    found = stage_times(method, [file], str(tmp_path), 1, weights_of(method, tiny_weights))
    assert list(found["stages"]) == list(STAGES)
    assert all(time["wall_s"] > 0 for stage, time in found["stages"].items())
    assert found["px"] == 416 * 320 > found["breast_px"] > 0
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {"mask.nii.gz", "findings.json", "picture.png"} <= written


def test_flops_are_those_of_the_convolutions(tiny_weights, tmp_path):
    staged = StagedMethod(SLIM_FCN, tmp_path, weights_of(SLIM_FCN, tiny_weights))
    widths, kernels = (1, 4, 16, 32, 64, 128), (3, 5, 7, 9)
    blocks = sum(a * b // 4 * k**2 for a, b in itertools.pairwise(widths) for k in kernels)
    assert staged.flops_per_px() == pytest.approx(2 * (blocks + 128 * 5**2))


def test_stages_give_what_the_command_gives(file, tiny_weights, tmp_path):
    weights, start = weights_of(HDOGREG, tiny_weights), time.perf_counter()
    row = run_command(HDOGREG, [file], tmp_path / "run", weights, ("--score-threshold", "0.05", "--device", "cpu"))
    assert row["s per image"] < row["command to results s"] < time.perf_counter() - start
    staged, watch = StagedMethod(HDOGREG._replace(changes=(("score_threshold", 0.05),)), tmp_path, weights), Stopwatch()
    watch.start_run()
    assert len(staged.run(file, watch)["analysis"].counted) == row["MCs"]
    assert row["images in the run"] == 1 and row["s per image"] > 0 and row["start-up s"] > 0


def test_the_authors_settings_are_timed_untrained(file, tmp_path):
    row = run_command(PAPER, [file], tmp_path / "run", untrained_weights(PAPER, tmp_path / "untrained.pt"))
    assert row["MCs"] == 0 and row["images in the run"] == 1
    rows = [dict(row, **{"s per image": row["s per image"] / 4}), row]
    assert [r["times faster than the authors' settings"] for r in command_section(rows).rows] == [4, 1]


def test_scoring_is_timed():
    section = scoring_section(1, 2, 3, 4, (160, 160), (30, 60))
    assert [row["predictions per image"] for row in section.rows] == [30, 60]
    assert all(row[name] > 0 for row in section.rows for name in ("score s", "count s", "curve s", "bootstrap s"))


def test_a_failing_command_is_an_error(file, tmp_path):
    with pytest.raises(RuntimeError, match="exit status"):
        run_command(HDOGREG, [file], tmp_path, str(tmp_path / "no.pt"))


def test_candidates_agree_with_their_plain_statement(file):
    rows = bench_candidates(file, 1, 1).rows
    assert rows[0]["IoU with the plain statement"] > 0.999 and rows[1]["IoU with the plain statement"] > 0.999
    assert rows[2]["times faster than plain"] == 1.0


@pytest.mark.parametrize("method", [SLIM_FCN, HDOGREG], ids=lambda method: method.name)
def test_the_shipped_network_is_the_plain_one(method, file, tiny_weights, tmp_path):
    common, weights = (method, file, str(tmp_path)), weights_of(method, tiny_weights)
    shipped, plain = shipped_map(*common, 1, weights), plain_map(*common, 1, weights)
    assert ("tiles" in plain["area"]) == (method is not SLIM_FCN)  # GroupNorm: other tiles, other logits
    row = bench_network(method, shipped, plain, file, str(tmp_path), weights).rows[0]
    assert row["largest probability difference"] <= 0.03


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_step_is_timed_both_ways(recipe, phantoms, tmp_path):
    (row,) = training_rows(
        recipe, str(phantoms[0] / "images"), str(tmp_path), 0, 1, 1, {"batch_size": 2, "patches::patch_px": 64}
    )
    assert row["in memory, s per step"] > 0 and row["on the fly, s per step"] > 0
    assert row["batch"] == "2 of 64 px"


def test_the_command_line_writes_markdown_and_json(phantoms, tmp_path, monkeypatch, capsys):
    words = ["--only", "candidates", "--input_dir", str(phantoms[0] / "images"), "--runs", "1", "--images", "1"]
    monkeypatch.setattr(sys, "argv", ["bench", *words, "--output_dir", str(tmp_path)])
    command.main()
    assert "## Candidates against plain statements" in capsys.readouterr().out
    assert (tmp_path / "bench.md").is_file() and (tmp_path / "bench.json").is_file()


def test_drawn_spots_are_found_one_by_one_in_a_fresh_process(file, tmp_path):
    (section,) = growth_sections(["spots"], [file], str(tmp_path), 1, {})
    assert [(row["spots drawn"], row["MCs"]) for row in section.rows[:2]] == [(0, 0), (10, 10)]
    assert all(row["objects s"] > 0 and row["write s"] > 0 for row in section.rows)


def test_sweeps_that_are_not_asked_for_are_not_run(file, tmp_path):
    assert not list(growth_sections([], [file], str(tmp_path), 1, {}))


def test_every_output_is_timed_and_weighed(tmp_path):
    section = outputs_section(str(tmp_path), 40, (480, 320), 1)
    assert [row["output"] for row in section.rows] == [*WRITERS, "all DICOM"]
    assert "40 MCs in 2 clusters" in section.notes[0] and all(row["MB"] > 0 for row in section.rows)
    dicom = [row for row in section.rows if row["file"].endswith(".dcm")]
    assert section.rows[-1]["MB"] == pytest.approx(sum(row["MB"] for row in dicom)) and len(dicom) == 4
