"""Files and folders of mammograms as a data set that survives a bad file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai.data import Dataset

logger = logging.getLogger(__name__)

IGNORED_SUFFIXES = frozenset(
    {".csv", ".doc", ".docx", ".gif", ".htm", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".py"}
    | {".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"}
)
IGNORED_NAMES = frozenset({"dicomdir", "thumbs.db"})
FAILURE = "failure"
REPORT_NAME = "run_report.json"


def list_mammograms(path: str | int | Path) -> list[dict[str, str]]:
    """Find the files to work on.

    Args:
        path: one file, or a folder that is searched with its sub-folders. Hidden files, DICOMDIR and files whose
            suffix cannot be an image (text, tables, documents) are passed over in folders; every other file is tried,
            because DICOM files often have no suffix. Folders of earlier results (with a run report) are passed over.

    Returns:
        Items {"image": path, "image_id": name for outputs}, sorted by path. The name is the path below the folder
        without its suffix; files that differ only in the suffix keep it.

    Raises:
        FileNotFoundError: `path` does not exist, or the folder holds no candidate file.
    """
    if not isinstance(path, str | int | Path):
        raise TypeError(f"input_dir: got {path!r}; want one path (a name with commas or brackets needs inner quotes)")
    root = Path(str(path)).expanduser()
    if root.is_file():
        return [{"image": str(root), "image_id": _without_suffix(root).name}]
    if not root.is_dir():
        raise FileNotFoundError(
            f"input_dir: got {root}, which does not exist; want a mammogram file or a folder of them"
        )
    results = {p.parent for p in root.rglob(REPORT_NAME)}  # earlier results below the input are no input
    files = [
        p
        for p in sorted(root.rglob("*"))
        if p.is_file() and _is_candidate(p.relative_to(root)) and results.isdisjoint(p.parents)
    ]
    if not files:
        raise FileNotFoundError(
            f"input_dir: got {root}, which holds no image file; want DICOM, PNG, TIFF, JPEG or NIfTI"
        )
    full = [p.relative_to(root).as_posix() for p in files]
    short = [_without_suffix(Path(name)).as_posix() for name in full]
    shared = Counter(name.casefold() for names in zip(full, short, strict=True) for name in set(names))
    return [
        {"image": str(p), "image_id": f if shared[s.casefold()] > 1 else s}
        for p, f, s in zip(files, full, short, strict=True)
    ]


class TolerantDataset(Dataset):
    """A MONAI data set whose unreadable items become failure records instead of exceptions.

    A failed item is {"image_id": ..., "failure": {"file", "stage", "reason"}} and holds no image; `TolerantEvaluator`
    records it and goes on with the next one.

    Args:
        data: items with the keys "image" and "image_id".
        transform: preprocessing chain.
    """

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable | None = None) -> None:
        super().__init__(data=data, transform=transform)

    def __getitem__(self, index: Any) -> Any:
        """The transformed item, or its failure record."""
        try:
            return super().__getitem__(index)
        except Exception as error:
            item = self.data[index]
            return {"image_id": item.get("image_id", ""), FAILURE: describe_failure(item["image"], "reading", error)}


def describe_failure(file: str | Path, stage: str, error: BaseException) -> dict[str, str]:
    """One failure as plain text; MONAI's "applying transform" errors give way to what caused them."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    logger.debug("%s failed for %s", stage, file, exc_info=error)
    return {"file": str(file), "stage": stage, "reason": f"{type(error).__name__}: {error}"}


def _is_candidate(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.suffix.lower() not in IGNORED_SUFFIXES and relative.name.lower() not in IGNORED_NAMES


def _without_suffix(path: Path) -> Path:
    known = {".dcm", ".dicom", ".ima", ".nii", ".png", ".tif", ".tiff", ".jpg", ".jpeg"}
    if path.name.lower().endswith(".nii.gz"):
        return path.with_name(path.name[:-7])
    return path.with_suffix("") if path.suffix.lower() in known else path
