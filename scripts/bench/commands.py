"""The bundle's own command, timed from outside: DICOM in, all results out; and the row to beat, of the authors."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from scripts.bench.report import Row, Section
from scripts.bench.stages import ROOT, Method


def run_command(
    method: Method, files: Sequence[str], folder: str | Path, weights: str | None = None, options: Sequence[str] = ()
) -> Row:
    """Run `mammo-mc segment` on some files and read its run report.

    Args:
        method: which configs.
        files: mammograms; they are linked into a folder of their own.
        folder: input and output go below it.
        weights: other weights than the config's, or None.
        options: more words of the command line.

    Returns:
        Seconds from the command to its end, per image (all images' time, start-up left out, over their number), median,
        longest, first image, start-up (imports, weights), peak memory in MB, MCs found.

    Raises:
        RuntimeError: the command failed.
    """
    source, output = Path(folder) / "input", Path(folder) / "output"
    source.mkdir(parents=True, exist_ok=True)
    for file in files:
        (source / Path(file).name).symlink_to(Path(file).resolve())
    words = [word for file in method.files[1:] for word in ("--config", file)]  # the first is the command's own
    words += [word for key, value in method.changes for word in ("--set", f"{key}={json.dumps(value)}")]
    words += ["--weights", weights] if weights else []
    words = [str(source), str(output), "--quiet", *words, *options]
    command = [sys.executable, "-m", "scripts.command", "segment", *words]
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ))
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    report = json.loads((output / "run_report.json").read_text(encoding="utf-8"))
    seconds = [float(entry["seconds"]) for entry in report["images"]]
    return {
        "method": method.name,
        "images in the run": len(seconds),
        "command to results s": wall,
        "s per image": report["seconds"] / len(seconds),
        "median s": statistics.median(seconds),
        "longest s": max(seconds),
        "first s": seconds[0],
        "start-up s": wall - report["seconds"],
        "CPU s of the command": after.children_user
        + after.children_system
        - before.children_user
        - before.children_system,
        "peak MB": report["peak_memory_mb"],
        "MCs": sum(entry["count"] for entry in report["images"]),
    }


def untrained_weights(method: Method, path: Path) -> str:
    """A file of weights as large as a method's, which find nothing: for the time of networks that are not shipped."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / file) for file in method.files])
    network = parser.get_parsed_content("network_def")
    torch.nn.init.constant_(network.segmentation_head[0].bias, -20.0)
    torch.nn.init.zeros_(network.segmentation_head[0].weight)
    torch.save(network.state_dict(), path)
    return str(path)


def command_section(rows: Sequence[Row]) -> Section:
    """The command's table; the last row, of one image, is the one to beat."""
    for row in rows:
        row["times faster than the authors' settings"] = rows[-1]["s per image"] / row["s per image"]
    notes = [
        "s per image: time from the start of the first image to the end of the last one, over their number; images "
        "overlap in a run of several, so that the median of a single image's seconds says less.",
        "Authors' settings: Inception-v4, whole tiles of 512 px, float32, HDoG's candidates; untrained, finds nothing.",
    ]
    return Section("End to end: DICOM in; label map, JSON, table and overlay out", list(rows), notes)
