"""Two ranks do what one process does: losses, weights, files, reports; resuming with another number of ranks."""

import csv
import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from scripts.common.ranks import first_before_others, from_first, gathered, join, places, rank, ranks
from scripts.outputs.manifest import verify
from scripts.training.ranks import RankBatches, epoch_seed
from tests.outputs.tiny_run import write_inputs
from tests.training.toy_ranks import pixels, prepared, train

#: float64 sums of another order; after three epochs of Adam.
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def folder(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    for name in ("one", "two", "one_then_two"):
        prepared(folder / name)
    train(folder / "one_then_two", 1)
    write_inputs(folder / "in", *(f"{i}.png" for i in range(5)))
    (folder / "in" / "bad.png").write_text("ruined")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    same = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    same |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "tests/training/toy_ranks.py", str(folder)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = [subprocess.Popen(command, cwd=root, env=same | {"RANK": str(i)}, **streams) for i in range(2)]
    try:
        said = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], said
    return folder


@pytest.fixture(scope="module")
def one(folder):
    """Three epochs of a single process: losses and seeds."""
    return train(folder / "one", 3)


@pytest.fixture(scope="module")
def told(folder):
    return [json.loads((folder / f"rank{i}.json").read_text()) for i in range(2)]


def weights(folder, name="checkpoint.pt"):
    state = torch.load(folder / name, weights_only=True)
    return state.get("network", state)


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_losses_are_those_of_one_process_at_the_same_total_batch(told, one):
    for of_rank in told:  # the logged loss is of all ranks
        assert of_rank["losses"] == pytest.approx(one[0][:4], rel=ROUNDING)
        assert of_rank["resumed"] == pytest.approx(one[0][2:], rel=ROUNDING)
    assert len(set(one[0])) == 6


def test_resuming_with_another_number_of_ranks_gives_the_same_training(folder, told, one):
    train(folder / "two", 3)
    for name in ("two", "one_then_two"):
        assert rows(folder / name) == rows(folder / "one")
        for key, value in weights(folder / "one").items():
            torch.testing.assert_close(weights(folder / name)[key], value, rtol=ROUNDING, atol=ROUNDING)
    assert float(rows(folder / "one")[-1]["iou"]) > 0


def test_one_rank_writes_and_writes_the_bare_network(folder, told):
    assert {path.name for path in (folder / "one_then_two").glob("[!.]*")} == {
        *("given.pt", "checkpoint.pt", "metrics.csv", "model.pt", "model.published", "published.pt")
    }
    for name in ("checkpoint.pt", "model.pt", "published.pt"):
        assert list(weights(folder / "one_then_two", name)) == list(weights(folder / "one_then_two", "given.pt"))


def test_each_rank_has_its_own_seeds_and_the_first_those_of_one_process(told, one):
    assert told[0]["drawn"] == one[1][:2]
    assert not set(told[0]["drawn"]) & set(told[1]["drawn"])


def test_what_ranks_tell_each_other(told):
    assert [(t["rank"], t["ranks"], t["gathered"], t["from_first"]) for t in told] == [
        (0, 2, [0, 10], 5),
        (1, 2, [0, 10], 5),
    ]
    assert [t["was_there"] for t in told] == [False, True]


def test_one_run_report_tells_of_all_ranks_images_in_the_order_of_the_data_list(folder, told):
    assert [t["whole"] for t in told] == [[1, 3], [1, 2]]  # exit status, and images that the network saw
    report = json.loads((folder / "whole" / "run_report.json").read_text())
    assert [entry["image_id"] for entry in report["images"]] == [*"01234", "bad"]
    counts = ("state", "images_done", "images_failed", "exit_status")
    assert [report[key] for key in counts] == ["finished", 5, 1, 1]
    assert verify(folder / "whole") == [] and not list((folder / "whole").glob(".run_report_of_rank*"))


def test_after_a_kill_no_ranks_finished_images_are_done_again(folder, told):
    assert [t["cut"][1] for t in told] == [3, 2]
    assert [t["again"] for t in told] == [[1, 0], [1, 0]]
    report = json.loads((folder / "out" / "run_report.json").read_text())
    assert (report["images_kept"], report["images_failed"]) == (5, 1) and verify(folder / "out") == []


def test_scored_images_and_pixels_of_all_ranks_are_those_of_one_process(told):
    whole = pixels(range(5))
    for t in told:
        assert t["cases"] == [f"image {i}" for i in range(5)]
        assert t["failures"] == [{"file": "bad 0"}, {"file": "bad 1"}]
        assert t["images"] == 5 and t["auc"] == list(whole.histogram.roc_auc())
        assert t["ece"] == pytest.approx(whole.calibration.ece, rel=ROUNDING)


def test_alone_a_process_is_all_there_is(monkeypatch):
    assert (rank(), ranks(), gathered(3), from_first(4), places(3)) == (0, 1, [3], 4, range(3))
    with first_before_others():
        pass
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match=r"RANK: got a process that is none of several; want .*torchrun"):
        join()


def test_a_batch_for_each_rank_is_needed_and_a_smaller_rest_is_left_out(monkeypatch):
    monkeypatch.setattr("scripts.training.ranks.ranks", lambda: 3)
    with pytest.raises(ValueError, match="batch_size: got 2; want at least one patch for each of 3 ranks"):
        RankBatches(range(9), 2)
    with pytest.raises(ValueError, match="training data: got 2; want"):
        RankBatches(range(2), 4)
    assert [len(RankBatches(range(n), 4)) for n in (4, 6, 7)] == [1, 1, 2]


@pytest.mark.parametrize("of_rank", [0, 2])
def test_an_epoch_has_one_order_whatever_was_drawn_before(of_rank, monkeypatch):
    monkeypatch.setattr("scripts.training.ranks.places", lambda length: range(of_rank, length, 3))
    batches = RankBatches(range(10), 5, seed=7)
    orders = []
    for epoch in (1, 2, 1):
        batches.set_epoch(epoch)
        torch.manual_seed(epoch_seed(7, epoch, of_rank) + len(orders))
        before = torch.get_rng_state()
        orders.append(list(batches))
        assert torch.equal(torch.get_rng_state(), before)
    assert orders[0] == orders[2] != orders[1]
