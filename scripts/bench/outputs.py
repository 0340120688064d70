"""Time and size of every output of an image with many microcalcifications; DICOM results are held to a limit."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.bench.measure import timed
from scripts.bench.report import Row, Section
from scripts.common.objects import label_objects
from scripts.findings.analysis import FindingsAnalysis
from scripts.outputs.dicom.writers import DICOM_WRITERS
from scripts.outputs.writer import WRITERS
from scripts.simulation.phantom.dicom import write_phantom_dicom
from scripts.transforms import LoadMammogramd, MeasureFindingsd, RestoreFileGeometryd

SPACING_MM, GROUP, APART_PX = 0.07, 20, 320  # groups too far apart for one cluster
MOST_S, MOST_MB = 3.0, 3.0  # of all DICOM results together


def outputs_section(folder: str, mcs: int, shape: tuple[int, int], runs: int) -> Section:
    """The table: a row per output, then all DICOM ones together.

    The first writing loads highdicom, which is timed apart. Objects are drawn: discs of 1 to 5 px radius, in groups of
    20, on noise; what is written of them depends on their number and size only.
    """
    item = drawn_item(Path(folder), mcs, shape)
    loading, _ = timed(lambda: DICOM_WRITERS["cad_sr"][1](Path(folder) / "first.dcm", item), 1)
    rows: list[Row] = []
    for name, (file, write) in WRITERS.items():
        path = Path(folder) / file
        timing, _ = timed(lambda write=write, path=path: write(path, item), runs)  # type: ignore[misc]
        rows.append({"output": name, "file": file, "s": timing.wall_s, "CPU s": timing.cpu_s, "MB": _mb(path)})
    dicom = [row for row in rows if row["output"] in DICOM_WRITERS]
    total = {key: sum(float(row[key]) for row in dicom) for key in ("s", "CPU s", "MB")}
    rows.append({"output": "all DICOM", "file": "", **total})
    found = len(item["findings"])
    notes = [
        f"{found} MCs in {len(item['report']['clusters'])} clusters, {shape[0]} x {shape[1]} px; medians of {runs}.",
        f"DICOM together: wanted are at most {MOST_S:g} s and {MOST_MB:g} MB. The first one of a process takes "
        f"{loading.cpu_s:.1f} s of CPU time, with the import of highdicom.",
    ]
    return Section("Outputs", rows, notes)


def drawn_item(folder: Path, mcs: int, shape: tuple[int, int]) -> dict[str, Any]:
    """What postprocessing would leave of a DICOM mammogram with drawn objects."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4096, shape).astype(np.uint16)
    options: dict[str, Any] = {"spacing_mm": SPACING_MM, "laterality": "L", "view": "CC", "seed": 0}
    file = write_phantom_dicom(folder / "drawn.dcm", pixels, **options)
    labels, count = label_objects(_discs(rng, mcs, shape))
    item: dict[Any, Any] = dict(LoadMammogramd()({"image": str(file)}))
    item |= {"instances": torch.from_numpy(labels)[None], "scores": np.concatenate([[0.0], rng.random(count)])}
    item |= {"breast": torch.ones(1, *shape, dtype=torch.bool), "map": torch.from_numpy(labels > 0)[None].float()}
    made = RestoreFileGeometryd("pred")(MeasureFindingsd(analysis=FindingsAnalysis(None))(item))
    return {str(key): value for key, value in made.items()}


def _discs(rng: np.random.Generator, mcs: int, shape: tuple[int, int]) -> np.ndarray:
    """bool (rows, cols): discs that do not touch, on the points of a grid, a group in each of some squares."""
    side, mask = 16, np.zeros(shape, bool)
    across = 5  # discs in a row of a group
    rows, cols = (range(20, length - 100, APART_PX) for length in shape)
    squares = rng.permutation([(row, col) for row in rows for col in cols])
    for number in range(mcs):
        top, left = squares[number // GROUP]
        row, col = top + side * (number % GROUP // across), left + side * (number % across)
        radius = int(rng.integers(1, 6))
        down, aside = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        disc = down**2 + aside**2 <= radius**2
        mask[row : row + 2 * radius + 1, col : col + 2 * radius + 1] |= disc
    return mask


def _mb(path: Path) -> float:
    return path.stat().st_size / 1e6
