"""CSV tables and JSON files that users and data sets bring: every fault names the file and the row."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.data.reader.errors import MammogramReadError, check_file

Row = tuple[str, Mapping[str, Any]]  # where it stands in the file, its values by column or key


def csv_rows(
    path: str | Path, want: str, columns: tuple[str, ...] = (), delimiter: str = ",", errors: str = "strict"
) -> tuple[list[str], list[Row]]:
    """The rows of a CSV file with a header, UTF-8 with or without a byte order mark (`errors` as for `open`).

    Gives the names of the columns, in small letters, and ("line 2", {column: text}) for each row. Names and cells are
    stripped of spaces and stray quotes; a missing cell is left out. An unreadable file, a lack of `columns`, or a row
    with more cells than columns is a MammogramReadError; `want` tells what the file should be.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig", errors=errors) as file:
            reader = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True)
            reader.fieldnames = header = [name.strip().lower() for name in reader.fieldnames or ()]
            missing = [name for name in columns if name not in header]
            check_file(path, not missing, f"no columns {missing} but {header}", want)
            rows: list[Row] = []
            for row in reader:
                where = f"line {reader.line_num}"
                check_file(path, not any(row.get(None, ())), f"{where} with more cells than columns", want)
                cells = {name: cell.strip(' "\r\n') for name, cell in row.items() if isinstance(cell, str)}
                rows.append((where, cells))
            return header, rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MammogramReadError(path, f"an unreadable file ({error})", want) from error


def json_content(path: str | Path, want: str) -> Any:
    """What a JSON file holds; one that is unreadable or nested too deep is a MammogramReadError."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise MammogramReadError(path, "lists or objects that are nested too deep", want) from error
    except (OSError, ValueError) as error:
        raise MammogramReadError(path, f"an unreadable file ({error})", want) from error
