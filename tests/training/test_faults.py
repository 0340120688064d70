"""Kills, a full disk and a folder that cannot be written: one line, and nothing that was written is lost."""

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scripts.common.errors import message_of
from tests.outputs.tiny_run import FORKSERVER, wait_until
from tests.tiny import PATCHES, PHANTOMS
from tests.training.toy import Toy, rows_of

EPOCHS = 200


def train(folder, epochs=EPOCHS):
    """What a killed process does: train on from wherever the last one was ended."""
    torch.set_num_threads(1)
    Toy(Path(folder), publish=Path(folder) / "published.pt", seed=3).run(epochs)


def epochs_in(folder):
    return len(rows_of(folder)) if (folder / "metrics.csv").is_file() else 0


def weights_of(file):
    return torch.load(file, weights_only=True)


def assert_same_training(first, second):
    for name in ("checkpoint.pt", "model.pt", "published.pt"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert rows_of(first) == rows_of(second)


@pytest.mark.slow
def test_a_training_that_is_killed_20_times_ends_with_the_same_weights(tmp_path, kills=20):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train(whole)
    rng, epochs = random.Random(kills), [0]
    for _ in range(kills):
        process = FORKSERVER.Process(target=train, args=(str(parts),))
        process.start()
        until = epochs[-1] + rng.randrange(5)
        while process.is_alive() and epochs_in(parts) <= until:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))  # anywhere in an epoch, or in a write
        process.kill()  # SIGKILL
        process.join()
        assert process.exitcode == -9
        if (parts / "checkpoint.pt").is_file():  # whole at any moment
            assert weights_of(parts / "checkpoint.pt")["epoch"] in (epochs_in(parts), epochs_in(parts) - 1)
        epochs.append(epochs_in(parts))
    assert epochs == sorted(epochs) and len(set(epochs)) > 10 and epochs[-1] < EPOCHS
    train(parts)
    assert_same_training(whole, parts)


@pytest.mark.parametrize("full_from", range(1, 8))
def test_a_full_disk_ends_with_the_folder_and_the_reason_and_loses_nothing(tmp_path, monkeypatch, full_from):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train(whole, 4)
    writes, write = 0, Path.write_bytes

    def fill(path, content):
        nonlocal writes
        writes += 1
        if writes >= full_from:
            write(path, bytes(content)[:100])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        with pytest.raises(OSError, match="No space left") as error:
            train(parts, 4)
    assert message_of(error.value) == f"{parts}: No space left on device"
    for file in parts.glob("*.pt"):
        weights_of(file)  # every file is whole
    assert not list(parts.glob(".partial-*"))
    train(parts, 4)
    assert_same_training(whole, parts)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file") as error:
        train(tmp_path / "file" / "run", 1)
    assert str(tmp_path / "file") in message_of(error.value) and "\n" not in message_of(error.value)


def test_one_training_at_a_time_writes_into_a_folder(tmp_path):
    process = FORKSERVER.Process(target=train, args=(str(tmp_path), 10**6))
    process.start()
    wait_until(lambda: epochs_in(tmp_path), process)
    with pytest.raises(ValueError, match=r"output_dir: got .* where another training is at work; want"):
        train(tmp_path)
    assert process.is_alive()
    process.kill()
    process.join()
    so_far = epochs_in(tmp_path)
    train(tmp_path, so_far + 1)  # a killed one leaves the folder free
    train(tmp_path, so_far + 2)  # and so does one that has ended
    assert epochs_in(tmp_path) == so_far + 2


def test_what_a_killed_run_left_half_written_is_removed_when_it_is_old(tmp_path):
    old, new = tmp_path / ".partial-old.pt", tmp_path / ".partial-new.pt"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    train(tmp_path, 1)
    assert not old.exists() and new.exists()


def test_a_learning_rate_of_1e30_ends_with_one_line_and_the_earlier_best_is_kept(root, phantoms, tmp_path):
    (tmp_path / "published.pt").write_bytes(b"shipped")
    paths = {"dataset_dir": phantoms[0], "cache_dir": tmp_path / "cache", "output_dir": tmp_path / "run"}
    values = paths | {"publish_path": tmp_path / "published.pt", "max_epochs": 2, "optimizer::lr": "1e30"}
    values |= {"batch_size": 2, "device": "cpu"} | PHANTOMS | PATCHES
    words = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", "configs/train.json", *words],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        ("error: loss: got nan in epoch 1", "error: network's output: got values", "error: gradient")
    )
    assert "lower --optimizer::lr (here 1e+30)" in last
    assert (tmp_path / "published.pt").read_bytes() == b"shipped"
    assert not list((tmp_path / "run").glob("*.pt"))
