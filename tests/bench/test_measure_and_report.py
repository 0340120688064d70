"""The bench's clocks and tables, on sleeping calls and hand-made numbers."""

import json
import time

import numpy as np
import pytest
from PIL import Image

from scripts.bench.floors import least_bytes, machine_speed, speed_section, stage_section
from scripts.bench.growth import BREAST_PX, SIZE_TITLE, SPOTS_TITLE, with_spots
from scripts.bench.measure import Stopwatch, in_fresh_process, timed
from scripts.bench.picture import growth_picture
from scripts.bench.references import iou, load_reference, same_objects
from scripts.bench.report import Section, as_json, as_markdown, machine
from scripts.bench.training import seconds_per_step
from scripts.common.objects import label_objects
from scripts.findings.peaks import PeakObjects, peak_objects


def test_stages_are_summed_within_a_run_and_medians_taken_over_runs():
    watch = Stopwatch()
    for pause in (0.01, 0.03, 0.2):
        watch.start_run()
        for _ in range(2):
            with watch.stage("rest"):
                time.sleep(pause)
        with watch.stage("work"):
            sum(range(10_000))
    medians = watch.medians()
    assert list(medians) == ["rest", "work"]
    assert 0.06 <= medians["rest"].wall_s < 0.2 and medians["rest"].cpu_s < 0.05
    assert watch.total().wall_s >= medians["rest"].wall_s


def test_warm_calls_do_not_count():
    calls = []

    def call():
        calls.append(1)
        time.sleep(0.3 if len(calls) == 1 else 0.001)
        return len(calls)

    timing, result = timed(call, runs=3, warm=1)
    assert timing.wall_s < 0.2 and result == 4
    with pytest.raises(ValueError, match="runs: got 0"):
        timed(call, runs=0)


def test_fresh_process_gives_the_result():
    assert in_fresh_process(np.add, 2, 3) == 5


def test_markdown_and_json_hold_every_row():
    section = Section("Title", [{"a": "x", "b": 1.2345}, {"a": "y", "c": 12345.6}], ["A note."])
    text = section.markdown()
    assert "| a | b | c |" in text and "| x | 1.23 |  |" in text and "| y |  | 12346 |" in text
    assert text.rstrip().endswith("A note.")
    about = machine()
    assert about["threads"] >= 1
    assert "## Title" in as_markdown([section], about)
    assert json.loads(json.dumps(as_json([section], about)))["sections"][0]["rows"][1]["c"] == 12345.6


def test_floors_divide_work_by_speed():
    found = {
        "method": "m",
        "stages": {"read": {"wall_s": 0.5, "cpu_s": 0.4}, "network": {"wall_s": 2.0, "cpu_s": 4.0}},
        "total": {"wall_s": 2.5, "cpu_s": 4.4},
        "first_run": {"wall_s": 3.0, "cpu_s": 5.0},
        "peak_mb": 1000,
        "px": 8e6,
        "breast_px": 4e6,
        "mcs": 3.0,
        "maps": 2,
        "flops_per_px": 1e5,
        "threads": 2,
    }
    speed = {"float32_gflops": 200.0, "bfloat16_gflops": 400.0, "copy_gbs": 10.0}
    read, network, total = stage_section(found, speed).rows
    assert read["bytes floor s"] == pytest.approx(8e6 * 6 / 10e9)
    assert network["bytes floor s"] == pytest.approx(8e6 * 12 / 10e9)
    assert network["float32 arithmetic floor s"] == pytest.approx(4e6 * 1e5 / 200e9)
    assert network["x bfloat16 floor"] == pytest.approx(2.0)
    assert total == {"stage": "all", "wall s": 2.5, "CPU s": 4.4}
    assert set(least_bytes(1, 1)) >= {"read", "breast mask", "network", "objects", "write"}


def test_machine_speeds_are_positive(monkeypatch):
    monkeypatch.setattr("scripts.bench.floors.MATRIX_SIDE", 128)
    monkeypatch.setattr("scripts.bench.floors.COPY_BYTES", 2**20)
    speed = machine_speed(runs=1)
    assert all(value > 0 for value in speed.values())
    assert len(speed_section(speed).rows[0]) == 3


def test_shared_objects_and_iou():
    first, second = np.zeros((2, 10, 10), int)
    first[1:3, 1:3], first[6, 6] = 1, 2
    second[2:4, 2:4], second[8, 1], second[9, 9] = 4, 5, 6
    share, counts = same_objects(first, second)
    assert counts == (2, 3) and share == pytest.approx(2 / 5)
    assert same_objects(first * 0, second * 0) == (1.0, (0, 0))
    assert iou(first == 1, second == 4) == pytest.approx(1 / 7)
    assert iou(first < 0, second < 0) == 1.0


def test_the_reference_is_that_of_the_tests():
    candidates, blobs = load_reference()(np.zeros((20, 20)))
    assert not candidates.any() and blobs.shape == (0, 3)


@pytest.mark.parametrize("count", [0, 1, 25])
def test_drawn_spots_are_found_one_by_one(count):
    breast = np.ones((150, 160), bool)
    values = with_spots((150, 160), breast, count)
    labels = peak_objects(values, PeakObjects())
    assert label_objects(values > 0.5)[1] == count == labels.max()


def test_seconds_per_step_leave_the_first_ones_out():
    def step(seconds):
        time.sleep(seconds)

    assert 0.01 <= seconds_per_step(step, [0.3, 0.3, 0.01, 0.01, 0.01]) < 0.1
    with pytest.raises(ValueError, match="batches: got 2"):
        seconds_per_step(step, [0, 0])


def test_the_sweeps_are_drawn_and_other_tables_left_alone(tmp_path):
    sizes = [
        {"method": name, BREAST_PX: px, "network s": px * cost, "all s": px * cost + 1, "peak MB": 900.0}
        for name, cost in (("HDoGReg", 0.5), ("slim FCN", 2.0))
        for px in (1.0, 4.0)
    ]
    spots = [{"spots drawn": n, "MCs": n, "objects s": 0.1, "write s": 0.2} for n in (0, 10)]
    widths = []
    for tables in ({SIZE_TITLE: sizes}, {SPOTS_TITLE: spots}, {SIZE_TITLE: sizes, SPOTS_TITLE: spots}):
        with Image.open(growth_picture(tables, tmp_path / "growth.png")) as picture:
            widths.append(picture.size[0])
    assert widths[2] == sum(widths[:2]) and widths[0] == 3 * widths[1]
    assert growth_picture({"Growth with threads": spots}, tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()
