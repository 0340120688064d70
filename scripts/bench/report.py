"""What the bench says: sections of rows, as Markdown for people and as JSON for later comparison."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from scripts.common.provenance import package_versions, source_commit
from scripts.common.tables import markdown_table

Row = dict[str, Any]


@dataclass
class Section:
    """One table.

    Attributes:
        title: heading.
        rows: column -> text or number; columns may differ from row to row.
        notes: sentences below the table.
    """

    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Heading, table, notes."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [f"## {self.title}", ""]
        if columns:
            lines.append(markdown_table(columns, [[_cell(row.get(name)) for name in columns] for row in self.rows]))
        return "\n".join([*lines, *(f"{note}\n" for note in self.notes)])


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "bfloat16 instructions": bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()),
        "gpus": devices,
        "system": f"{platform.system()} {platform.machine()}",
        "commit": source_commit(),
        **package_versions(),
    }


def processor_name() -> str:
    """Model name of the processor, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return f"{names[0]} ({len(names)} cores seen)"
    return platform.processor() or platform.machine()


def as_markdown(sections: Sequence[Section], about: Mapping[str, Any]) -> str:
    """The whole report."""
    facts = ", ".join(f"{key} {value}" for key, value in about.items() if value)
    return "\n".join(["# Bench", "", facts, "", *(section.markdown() for section in sections)])


def as_json(sections: Sequence[Section], about: Mapping[str, Any]) -> dict[str, Any]:
    """The same as plain values."""
    return {"machine": dict(about), "sections": [asdict(section) for section in sections]}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if 0.999 < value < 1:
            return f"{value:.6f}"  # a share that is not quite all
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"
    return str(value)
