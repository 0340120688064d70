"""The real MONAI Label server on loopback, over studies of every kind, and the command line's masks of the same."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.server.studies import KINDS, crops, mask_of, write_study

MODEL = "mammography_microcalcification_segmentation"
#: Models of other methods and their overlays.
OVERLAYS = {
    "slim_fcn_segmentation": "slim_fcn_inference.json",
    "context_cnn_segmentation": "baseline_context_cnn_inference.json",
}
ROUNDS = 40  # images of random sizes, five of each kind


@pytest.fixture(scope="session")
def studies(tmp_path_factory):
    """Folder of studies; their files by name; the kind of each."""
    folder, rng = tmp_path_factory.mktemp("studies"), np.random.default_rng(11)
    images = crops(tmp_path_factory.mktemp("phantoms"), ROUNDS, seed=8)  # MCs are found in some of each kind
    kinds = {f"round{number:02d}": list(KINDS)[number % len(KINDS)] for number in range(ROUNDS)}
    files = {
        name: write_study(folder, name, kind, image, rng)
        for (name, kind), image in zip(kinds.items(), images, strict=True)
    }
    files["clean"] = write_study(folder, "clean", "png_16", gaussian_filter(images[0], 8), rng)
    files["blank"] = write_study(folder, "blank", "png_16", np.zeros((300, 420)), rng)
    return SimpleNamespace(folder=folder, files=files, kinds=kinds | {"clean": "png_16", "blank": "png_16"})


@pytest.fixture(scope="session")
def command_line(studies, root, tmp_path_factory):
    """Masks (X, Y) of all studies by name, as `run inference` writes them, for any preset."""
    done: dict[str, dict[str, np.ndarray]] = {}

    def masks(preset="balanced", overlay=""):
        if preset + overlay not in done:
            output = tmp_path_factory.mktemp("command_line")
            options = {"input_dir": studies.folder, "output_dir": output, "preset": preset, "progress": False}
            files = [f"configs/{name}" for name in ("inference.json", overlay) if name]
            command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files)]
            command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
            ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
            assert ended.returncode == 1 and (output / "blank" / "failure.json").is_file(), ended.stderr[-3000:]
            done[preset + overlay] = {
                name: mask_of(output / name / "mask.nii.gz") for name in studies.files if name != "blank"
            }
        return done[preset + overlay]

    masks()  # before the server puts its own files into the folder
    masks("sensitive")
    for overlay in OVERLAYS.values():
        masks(overlay=overlay)
    return masks


@pytest.fixture(scope="session")
def server(studies, command_line, root, tmp_path_factory):
    """MONAI Label's own client of a running server; the app's folder, and that of its model."""
    with running_server(
        root, tmp_path_factory.mktemp("server"), studies.folder, "hdogreg", "slim_fcn", "context_cnn"
    ) as it:
        make_training_tiny(it.model / "configs" / "train.json")
        yield it


@contextmanager
def running_server(root, folder, studies, *methods):
    """A server on studies (a folder, or an archive's address) that ends with the block."""
    pytest.importorskip("monailabel", reason="needs the environment of `make monai-label`: make test-server")
    from monailabel.client import MONAILabelClient

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(root / "monai_label" / "start.py"), "--studies", str(studies)]
    command += ["--app", str(folder / "app"), "--port", str(port), "--methods", *methods]
    (folder / "answers").mkdir()
    client = MONAILabelClient(f"http://127.0.0.1:{port}", tmpdir=str(folder / "answers"))
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        try:
            _wait_for(client, process, folder / "log.txt")
            model = folder / "app" / "model" / MODEL
            yield SimpleNamespace(client=client, model=model, name=MODEL, pid=process.pid, log=folder / "log.txt")
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(client, process, log: Path):
    for _ in range(120):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            client.info()
            return
        except OSError:
            time.sleep(1)
    raise AssertionError("no answer within two minutes:\n" + log.read_text()[-3000:])


def make_training_tiny(config: Path):
    """Small patches, for the time; all else as it is."""
    content = json.loads(config.read_text())
    content["patches"] |= {"patch_px": 128, "stride_px": 128}
    content["warp"]["crop_px"] = 64
    config.write_text(json.dumps(content))
