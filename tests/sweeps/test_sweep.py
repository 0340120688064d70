"""Sweeps with a fake objective: the optimum, shared studies, kills, failures, constraints."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from scripts.sweeps.report import RankingReport, best_of
from scripts.sweeps.space import check_space, grid_cells, labels_of, sampler_of, suggest, values_of
from scripts.sweeps.storage import open_storage, open_study
from scripts.sweeps.sweep import Outcome, SkipTrialError, Sweep
from tests.sweeps.fake_sweep import GRID, RANGES, Fake, sweep

CELLS = sorted(str(sorted(cell.items())) for cell in grid_cells(GRID))


def start(root, folder, method="grid", delay_s=0.0, storage="", grace_s=60):
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    words = [Path(__file__).parent / "fake_sweep.py", folder, storage, method, delay_s, grace_s]
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def calls(folder, word):
    path = folder / "calls.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line.split(" ", 2)[1:] for line in lines if line.startswith(word)]


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_grid_tries_every_cell_once_and_finds_the_best(tmp_path):
    rows = sweep(tmp_path).run()
    assert sorted(place for _, place in calls(tmp_path, "end")) == CELLS
    assert best_of(rows, "maximize").parameters == {"x": 2, "y": 1}
    best = json.loads((tmp_path / "best.json").read_text())
    assert (best["x"], best["y"]) == (2, 1)
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    values = {(int(row["x"]), int(row["y"])): float(row["value"]) for row in table}
    assert values == {(x, y): -((x - 2) ** 2) - (y - 1) ** 2 for x in (0, 1, 2) for y in (0, 1)}
    assert {(row["x"], row["feasible"]) for row in table} == {("0", "False"), ("1", "True"), ("2", "True")}
    assert "| 2 | 1 | " in (tmp_path / "results.md").read_text() and (tmp_path / "results.png").stat().st_size > 5000
    sweep(tmp_path).run()  # nothing is left to do
    assert len(calls(tmp_path, "begin")) == len(CELLS)


def test_two_processes_share_a_study(root, tmp_path):
    first, second = (start(root, tmp_path, delay_s=0.4) for _ in range(2))
    for process in (first, second):
        assert process.wait(120) == 0, process.stderr.read()
    done = calls(tmp_path, "end")
    assert sorted(place for _, place in done) == CELLS  # each cell by exactly one of them
    assert len({process for process, _ in done}) == 2
    connection = sqlite3.connect(tmp_path / "study.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    with (tmp_path / "results.csv").open() as file:
        assert sum(row["state"] == "complete" for row in csv.DictReader(file)) == len(CELLS)


def test_waiting_trials_are_taken_once(tmp_path):
    """Optuna alone looks first and reserves the file after: four takers got 71 of 60 trials."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    studies = [open_study(open_storage(url), "s", "maximize", {}) for _ in range(4)]
    for x in range(40):
        studies[0].enqueue_trial({"x": x})

    def take(study):
        return [study.ask().number for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        taken = [number for numbers in pool.map(take, studies) for number in numbers]
    assert sorted(taken) == list(range(40))


def test_a_queued_trial_has_all_its_values_while_it_begins():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1, "y": 0})
    assert values_of(study.get_trials()[0]) == {"x": 1, "y": 0}
    trial = study.ask()
    trial.suggest_categorical("x", [0, 1, 2])  # another process may look now, before y is drawn
    assert values_of(study.get_trials()[0]) == {"x": 1, "y": 0}
    trial.suggest_categorical("y", [0, 1])
    assert values_of(study.get_trials()[0]) == {"x": 1, "y": 0}


def kill_in_the_second_cell(root, folder):
    process = start(root, folder, delay_s=0.5)
    wait_until(lambda: len(calls(folder, "begin")) == 2)
    time.sleep(0.2)  # its heartbeat has begun
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended = [place for _, place in calls(folder, "end")]
    (cut,) = [place for _, place in calls(folder, "begin") if place not in ended]
    return cut


def test_a_killed_sweep_goes_on_where_it_stopped(root, tmp_path):
    cut = kill_in_the_second_cell(root, tmp_path)
    rows = sweep(tmp_path, grace_s=2).run()
    assert sorted(place for _, place in calls(tmp_path, "end")) == CELLS
    again = Counter(place for _, place in calls(tmp_path, "begin"))
    assert {place for place, count in again.items() if count > 1} == {cut}
    assert Counter(row.state for row in rows) == {"complete": len(CELLS), "fail": 1}


def test_two_processes_end_what_a_killed_one_began(root, tmp_path):
    """Optuna's GridSampler did a cell twice here: the last ones are handed to whoever asks."""
    cut = kill_in_the_second_cell(root, tmp_path)
    both = [start(root, tmp_path, delay_s=delay_s, grace_s=8) for delay_s in (0.4, 0.7)]
    for process in both:
        assert process.wait(120) == 0, process.stderr.read()
    assert sorted(place for _, place in calls(tmp_path, "end")) == CELLS
    assert Counter(place for _, place in calls(tmp_path, "begin"))[cut] == 2


def test_a_search_finds_the_optimum_keeps_to_constraints_and_repeats_itself(tmp_path):
    rows = sweep(tmp_path / "a", method="tpe", trials=24).run()
    best = best_of(rows, "maximize")
    assert best.parameters["y"] == 1 and abs(best.parameters["x"] - 2) < 0.5
    assert all(row.feasible == (row.parameters["x"] >= 0.5) for row in rows)
    for trials in (13, 24):  # interrupted between trials
        again = sweep(tmp_path / "b", method="tpe", trials=trials).run()
    assert [row.parameters for row in again] == [row.parameters for row in rows]


class Edge(Fake):
    """The unconstrained optimum, x = 2, is not allowed."""

    def __call__(self, parameters, note):
        if parameters["y"] == 3:
            raise SkipTrialError("3 makes no sense")
        return Outcome(parameters["x"], {}, {"limit": parameters["x"] - 1.2})


def test_the_best_keeps_the_constraints_and_senseless_parameters_are_passed_over(tmp_path):
    class Started(Edge):
        def first(self, keys):
            return [{"x": 3.0, "y": 0}, {"x": 0.1, "y": 3}]

    rows = Sweep(Started(tmp_path), RANGES, tmp_path, RankingReport("edge"), trials=24, progress=False).run()
    assert (rows[0].value, rows[0].feasible) == (3.0, False)
    assert (rows[1].state, rows[1].reason) == ("pruned", "3 makes no sense")
    assert 1.0 < best_of(rows, "maximize").parameters["x"] <= 1.2
    later = [row.feasible for row in rows[15:] if row.feasible is not None]
    assert sum(later) > len(later) / 2  # the search has learnt where it may look


def test_no_feasible_trial_means_no_best_one(tmp_path):
    class Never(Edge):
        def __call__(self, parameters, note):
            return Outcome(1.0, {}, {"limit": 1.0})

    rows = Sweep(Never(tmp_path), GRID, tmp_path, RankingReport("never"), progress=False).run()
    assert best_of(rows, "maximize") is None and not (tmp_path / "best.json").exists()


class Moody(Fake):
    mood = "bad"

    def __call__(self, parameters, note):
        if self.mood == "bad" and parameters["x"] == 1:
            raise OSError("disk full")
        return Outcome(1.0)


def test_failed_cells_are_told_and_tried_again_by_the_next_command(tmp_path):
    moody = Moody(tmp_path)
    with pytest.raises(SystemExit) as stop:
        Sweep(moody, GRID, tmp_path, RankingReport("moody"), progress=False).run()
    assert stop.value.code == 1
    assert "disk full" in (tmp_path / "results.csv").read_text()
    moody.mood = "good"
    rows = Sweep(moody, GRID, tmp_path, RankingReport("moody"), progress=False).run()
    assert sum(row.state == "complete" for row in rows) == len(CELLS)


def test_a_hopeless_sweep_ends_early(tmp_path):
    space = {"x": [1], "y": list(range(9))}
    with pytest.raises(RuntimeError, match="3 trials failed one after the other"):
        Sweep(Moody(tmp_path), space, tmp_path, RankingReport("moody"), progress=False).run()


def test_a_study_of_other_settings_is_refused(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'deep' / 'study.db'}")
    open_study(storage, "s", "maximize", {"seed": 0, "a": [1]})
    open_study(storage, "s", "maximize", {"seed": 0, "a": [1]})
    with pytest.raises(ValueError, match="a \\[1\\] there, \\[2\\] here"):
        open_study(storage, "s", "maximize", {"seed": 0, "a": [2]})


def test_grids_and_their_faults():
    assert grid_cells({"a": [1, 2], "b": ["u", "v"]}) == [
        {"a": 1, "b": "u"},
        {"a": 1, "b": "v"},
        {"a": 2, "b": "u"},
        {"a": 2, "b": "v"},
    ]
    faults = [{}, {"a": []}, {"a": [1, 1]}, {"a": "xyz"}, {"a": {"low": 2, "high": 1}}, {"a": {"low": 0}}]
    for space in [*faults, {"a": {"low": 0, "high": 1, "log": True}}, {"a": {"low": 0, "high": 1, "lgo": 1}}]:
        with pytest.raises(ValueError, match="space: got"):
            check_space(space)
    with pytest.raises(ValueError, match="ranges for \\['a'\\]"):
        grid_cells({"a": {"low": 0, "high": 1}})


def test_draws_depend_on_seed_and_number_only():
    space = {"a": {"low": 0.0, "high": 1.0}, "b": {"low": 0.0, "high": 1.0}}

    def draws(seed, numbers):
        study, drawn = optuna.create_study(), {}
        for number in range(4):
            trial = study.ask()
            if number in numbers:  # the others are done by another process
                study.sampler = sampler_of(seed, number, startup_trials=99)
                drawn[number] = tuple(suggest(trial, space).values())
            study.tell(trial, 0.0)
        return drawn

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    alone = draws(0, range(4))
    assert draws(0, (0, 2)) | draws(0, (1, 3)) == alone != draws(1, range(4))
    numbers = [value for pair in alone.values() for value in pair]
    assert len(set(numbers)) == len(numbers)


def test_people_read_the_last_part_of_a_key_where_it_tells_keys_apart():
    assert labels_of(["target::radius_px", "alpha"]) == {"target::radius_px": "radius_px", "alpha": "alpha"}
    assert list(labels_of(["a::x", "b::x", "y"]).values()) == ["a.x", "b.x", "y"]
