"""Tables: CSV for programs, Markdown for people. The only place that writes either."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.files import write_atomically

#: What makes a spreadsheet take a text for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(path: str | Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], digits: int = 9) -> Path:
    """Write rows (column -> value), atomically; entries for other columns are left out.

    Numbers that are not whole have `digits` significant ones; None, NaN, minus infinity and missing values are empty.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    values = ([row.get(name) for name in columns] for row in rows)
    for line in values:
        table.writerow([_no_formula("" if value == -math.inf else _cell(value, digits)) for value in line])
    return write_text(path, text.getvalue())


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file that `write_csv` wrote, cells as text."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [{key: _as_written(text) for key, text in row.items()} for row in csv.DictReader(file)]


def markdown_table(header: Sequence[Any], rows: Sequence[Sequence[Any]], digits: int = 4) -> str:
    """A Markdown table; numbers that are not whole have `digits` significant digits, None and NaN are empty cells."""
    lines = [header, ["---"] * len(header), *rows]
    texts = (" | ".join(_cell(cell, digits).replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {text} |\n" for text in texts)


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text, atomically."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.{digits}g}"
    return "" if value is None else str(value)


def _no_formula(text: str) -> str:
    """A text that a spreadsheet would run gets an apostrophe, which `read_csv` takes off again."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) and not _is_number(text) else text


def _as_written(text: str) -> str:
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
