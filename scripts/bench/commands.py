"""The bundle's own command, timed from outside: DICOM in, label map, JSON and overlay out."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.bench.report import Row, Section
from scripts.bench.stages import ROOT, Method


def run_command(
    method: Method, files: Sequence[str], folder: str | Path, weights: str | None = None, options: Sequence[str] = ()
) -> Row:
    """Run `monai.bundle run` on some files and read its run report.

    Args:
        method: which configs.
        files: mammograms; they are linked into a folder of their own.
        folder: input and output go below it.
        weights: other weights than the config's, or None.
        options: more words of the command line.

    Returns:
        Seconds per image (all images' time, start-up left out, over their number), median, longest, first image,
        start-up (imports, weights), peak memory in MB, MCs found.

    Raises:
        RuntimeError: the command failed.
    """
    source, output = Path(folder) / "input", Path(folder) / "output"
    source.mkdir(parents=True, exist_ok=True)
    for file in files:
        (source / Path(file).name).symlink_to(Path(file).resolve())
    words = ["--config_file", str(list(method.files)), "--input_dir", str(source), "--output_dir", str(output)]
    words += [word for key, value in method.changes for word in (f"--{key}", str(value))]
    words += ["--weights", weights] if weights else []
    command = [sys.executable, "-m", "monai.bundle", "run", *words, "--progress", "False", *options]
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


def command_section(rows: Sequence[Row]) -> Section:
    """The command's table."""
    notes = [
        "s per image: time from the start of the first image to the end of the last one, over their number; images "
        "overlap in a run of several, so that the median of a single image's seconds says less."
    ]
    return Section("End to end: DICOM in; label map, JSON, table and overlay out", list(rows), notes)
