"""The results of many images as three Parquet tables: images, clusters, microcalcifications.

Parquet (pyarrow, requirements-cluster.txt) holds millions of rows with their types; pandas, Polars, DuckDB and Spark
read it.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.common.files import PARTIAL
from scripts.findings.cluster_findings import CLUSTER_COLUMNS
from scripts.outputs.report import COLUMNS, IDENTITY, READING

if TYPE_CHECKING:
    import pyarrow

FOLDER = "tables"
SUMMARY = ("count", "count_per_cm2", "mean_area_mm2", "std_area_mm2", "clusters", "marks")
IMAGE = ("rows", "cols", "row_mm", "col_mm", "breast_area_cm2")
TABLES: dict[str, tuple[str, ...]] = {
    "images": ("image_id", "file", "status", "reason", *IMAGE, *SUMMARY, *IDENTITY, *READING),
    "clusters": ("image_id", *CLUSTER_COLUMNS),
    "microcalcifications": ("image_id", *COLUMNS),
}
TEXTS = frozenset(("image_id", "file", "status", "reason", "kind", "distribution", *IDENTITY, *READING))
WHOLE = frozenset(("id", "area_px", "cluster", "mcs", "group", "rows", "cols", "count", "clusters", "marks"))
TRUTHS = frozenset(("counted",))
IMAGES_AT_A_TIME = 1000

Rows = dict[str, list[dict[str, Any]]]


def rows_of(folder: str | Path, entries: Iterable[Mapping[str, Any]]) -> Rows:
    """Rows of the three tables, of the images that entries of a run report tell of."""
    found: Rows = {name: [] for name in TABLES}
    for entry in entries:
        known = {"image_id": entry["image_id"]}
        image = known | {name: entry.get(name) for name in ("file", "status", "reason")}
        if "findings" in entry.get("outputs", {}):
            report = json.loads((Path(folder) / entry["outputs"]["findings"]).read_text(encoding="utf-8"))
            spacing = dict(zip(("row_mm", "col_mm"), report["spacing_mm"], strict=True))
            image |= {name: report[name] for name in IMAGE if name in report} | spacing | report["summary"]
            image |= report["identity"] | report["reading"]
            for mark in report["microcalcifications"]:
                found["microcalcifications"].append(mark | (mark["features"] or {}) | known)
            for cluster in report["clusters"] or ():  # None where they failed
                found["clusters"].append(cluster | cluster["features"] | known | {"mcs": len(cluster["members"])})
        found["images"].append(image)
    return found


def tables_of(folder: str | Path, entries: Iterable[Mapping[str, Any]]) -> "dict[str, pyarrow.Table]":
    """The rows as Arrow tables, every column of one type whatever the rows hold."""
    import pyarrow

    tables = {}
    for name, rows in rows_of(folder, entries).items():
        columns = {}
        for column in TABLES[name]:
            values = [row.get(column) for row in rows]
            if column in TEXTS:
                columns[column] = pyarrow.array([None if v in (None, "") else str(v) for v in values], pyarrow.string())
            else:
                kind = pyarrow.int64() if column in WHOLE else pyarrow.float64()
                columns[column] = pyarrow.array(values, pyarrow.bool_() if column in TRUTHS else kind)
        tables[name] = pyarrow.table(columns)
    return tables


def chunks_of(entries: Iterable[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """Entries of a run report in the order of the tables, in parts that fit into memory."""
    ordered = sorted(entries, key=lambda entry: str(entry["image_id"]))
    return [ordered[start : start + IMAGES_AT_A_TIME] for start in range(0, len(ordered), IMAGES_AT_A_TIME)]


def write_tables(folder: str | Path, parts: "Iterable[dict[str, pyarrow.Table]]") -> None:
    """Write `tables/<name>.parquet` of all parts, one row group each; whole or not at all."""
    from pyarrow.parquet import ParquetWriter

    place = Path(folder) / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    temporary = {name: place / f"{PARTIAL}{name}.parquet" for name in TABLES}
    try:
        with contextlib.ExitStack() as stack:
            writers: dict[str, ParquetWriter] = {}
            for part in parts:
                for name, table in part.items():
                    if name not in writers:
                        writers[name] = stack.enter_context(ParquetWriter(temporary[name], table.schema))
                    writers[name].write_table(table)
        for name in writers:
            temporary[name].replace(place / f"{name}.parquet")
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
