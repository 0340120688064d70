"""Two floors that no program on this machine gets below: arithmetic and bytes.

Arithmetic: the network's floating-point operations, over the breast's pixels only, at the speed of a large matrix
product. Bytes: what a stage must read and write at least, at the speed of a copy.
"""

from collections.abc import Mapping
from typing import Any

import torch

from scripts.bench.measure import timed
from scripts.bench.report import Row, Section
from scripts.bench.stages import BREAST, NETWORK, OBJECTS, READ, WRITE

MATRIX_SIDE = 3072
COPY_BYTES = 512 * 2**20
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def machine_speed(runs: int = 5) -> dict[str, float]:
    """GFLOP/s of a square matrix product in float32 and bfloat16, and GB/s of a copy (bytes read plus written)."""
    speed = {}
    for name, dtype in _TYPES.items():
        factors = torch.rand(2, MATRIX_SIDE, MATRIX_SIDE).to(dtype)
        out = torch.empty(MATRIX_SIDE, MATRIX_SIDE, dtype=dtype)
        time, _ = timed(lambda f=factors, o=out: torch.mm(f[0], f[1], out=o), runs, warm=1)  # type: ignore[misc]
        speed[f"{name}_gflops"] = 2 * MATRIX_SIDE**3 / time.wall_s / 1e9
    source = torch.ones(COPY_BYTES // 4)
    target = torch.empty_like(source)
    time, _ = timed(lambda: target.copy_(source), runs, warm=1)
    speed["copy_gbs"] = 2 * COPY_BYTES / time.wall_s / 1e9
    return speed


def least_bytes(px: float, maps: int) -> dict[str, float]:
    """Bytes that each stage must read and write at least, for an image of `px` pixels.

    Read: 2 bytes of a px from the file, 4 of the float32 image. Breast mask: image in; mask and eroded mask out.
    Network: image in, float32 maps out. Objects: one map in, int32 labels out. Write: image and labels in, mask and
    labels (2 bytes) out.
    """
    per_px = {READ: 6, BREAST: 6, NETWORK: 4 + 4 * maps, OBJECTS: 8, WRITE: 11}
    return {stage: px * count for stage, count in per_px.items()}


def speed_section(speed: Mapping[str, float]) -> Section:
    """The machine's two speeds."""
    row: Row = {
        "float32 matrix product, GFLOP/s": speed["float32_gflops"],
        "bfloat16 matrix product, GFLOP/s": speed["bfloat16_gflops"],
        "copy, GB/s read + written": speed["copy_gbs"],
    }
    return Section("The machine's floors", [row], [f"Matrix side {MATRIX_SIDE}, copy of {COPY_BYTES // 2**20} MiB."])


def stage_section(found: Mapping[str, Any], speed: Mapping[str, float]) -> Section:
    """Stages of one method with their floors.

    Args:
        found: what `stage_times` returned.
        speed: what `machine_speed` returned.
    """
    bytes_of, total = least_bytes(found["px"], found["maps"]), found["total"]
    rows: list[Row] = []
    for stage, time in found["stages"].items():
        floor = bytes_of[stage] / speed["copy_gbs"] / 1e9
        row: Row = {"stage": stage, "wall s": time["wall_s"], "CPU s": time["cpu_s"]}
        row |= {"bytes floor s": floor, "x bytes floor": time["wall_s"] / floor}
        if stage == NETWORK:
            flops = found["flops_per_px"] * found["breast_px"] / 1e9
            for name in _TYPES:
                floor = flops / speed[f"{name}_gflops"]
                row |= {f"{name} arithmetic floor s": floor, f"x {name} floor": time["wall_s"] / floor}
        rows.append(row)
    rows.append({"stage": "all", "wall s": total["wall_s"], "CPU s": total["cpu_s"]})
    notes = [
        f"{found['px'] / 1e6:.1f} million px, {found['breast_px'] / 1e6:.1f} of breast, {found['mcs']:.0f} MCs found; "
        f"{found['flops_per_px'] / 1e3:.0f} kFLOP per px; {found['threads']} threads; peak memory of the process "
        f"{found['peak_mb']} MB; the first run in the process took {found['first_run']['wall_s']:.2f} s."
    ]
    return Section(f"{found['method']}, stage by stage", rows, notes)
