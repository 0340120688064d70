"""114 hostile and sound files in one run of the bundle: it finishes, says of each what is wrong, and resumes a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from scripts.common.outcomes import FAILED, NOT_ATTEMPTED, WITH_RESULT
from scripts.outputs.manifest import verify
from tests.hostile.lies import all_lies
from tests.hostile.mutations import CUT, mutate

FILES, SOUND = 114, 4


@pytest.mark.slow
def test_a_folder_of_hostile_files(root, seeds, phantoms, tiny_weights, tmp_path):
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    sources = [Path(item["image"]) for part in phantoms[1].values() for item in part][:SOUND]
    for number, source in enumerate(sources):
        shutil.copy(source, inputs / f"{50 * number:03d}_sound_{number}.dcm")
    lies = [(f"{name} {lie}", data) for name, lie, data, _ in all_lies(seeds)]
    rng = np.random.default_rng(0)
    cut = [(name, data) for name, seed in seeds.items() for kind, data in mutate(seed.content, rng, 1) if kind == CUT]
    chosen = [lies[i] for i in rng.permutation(len(lies))[: FILES - SOUND - 12]] + list(islice(cut, 12))
    odd = (b"", b"caf\xe9", b"two\nlines", b"$x_1$", b"=1+1")
    for number, (name, data) in enumerate(chosen):
        title = f"{number:03d} {name}".replace("/", "_").encode() + odd[number % len(odd)]
        (inputs / os.fsdecode(title)).write_bytes(data)
    assert len(list(inputs.iterdir())) == FILES
    words = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json")]
    words += ["--bundle_root", str(root), "--input_dir", str(inputs), "--output_dir", str(out), "--progress", "False"]
    words += ["--weights", str(tiny_weights / "model.pt"), "--score_threshold", "0.5", "--device", "cpu"]

    first = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while len(_images(out)) < 40:
        assert first.poll() is None
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = {entry["image_id"]: entry for entry in _images(out)}
    done = subprocess.run(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    report = json.loads((out / "run_report.json").read_text())
    assert done.returncode == 1 and report["state"] == "finished" and "Traceback" not in done.stderr
    sound = [entry for entry in report["images"] if entry["status"] in WITH_RESULT]
    failed = [entry for entry in report["images"] if entry["status"] in (FAILED, NOT_ATTEMPTED)]
    assert sorted(Path(entry["file"]).name for entry in sound) == [f"{50 * i:03d}_sound_{i}.dcm" for i in range(SOUND)]
    assert len(failed) == FILES - SOUND
    lines = done.stderr.splitlines()
    for entry in failed:
        assert "got" in entry["reason"] and "want" in entry["reason"] and entry["reason"].isprintable(), entry
        assert sum(entry["reason"] in line for line in lines) == 1, entry
    kept = {name for name, entry in before.items() if entry["status"] in WITH_RESULT}
    assert {entry["image_id"] for entry in sound if entry.get("kept")} == kept and kept
    assert verify(out) == []
    assert report["peak_memory_mb"] < 4000


def _images(out: Path) -> list[dict]:
    report = out / "run_report.json"
    return json.loads(report.read_text())["images"] if report.is_file() else []
