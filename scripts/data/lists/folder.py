"""Files and folders of mammograms as a data set that survives a bad file."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from monai.data import Dataset

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".dcm", ".dicom", ".ima", ".nii", ".png", ".tif", ".tiff", ".jpg", ".jpeg"}
IGNORED_SUFFIXES = {".csv", ".doc", ".docx", ".gif", ".htm", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".py"}
IGNORED_SUFFIXES |= {".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"}
FAILURE = "failure"
REPORT_NAME = "run_report.json"


def list_mammograms(path: str | int | Path) -> list[dict[str, str]]:
    """Find the files to work on: one file, or a folder that is searched with its sub-folders.

    Hidden files, DICOMDIR and files whose suffix cannot be an image (text, tables, documents) are passed over in
    folders; every other file is tried, because DICOM files often have no suffix. Folders of earlier results (with a run
    report) are passed over. Nothing found is a FileNotFoundError.

    The items {"image": path, "image_id": name for outputs} are sorted by path. The name is the path below the folder
    without its suffix; files that differ only in the suffix keep it.
    """
    if not isinstance(path, str | int | Path):
        raise TypeError(f"input_dir: got {path!r}; want one path (a name with commas or brackets needs inner quotes)")
    root = Path(str(path)).expanduser()
    if root.is_file():
        return [{"image": str(root), "image_id": _without_suffix(root).name}]
    if not root.is_dir():
        want = "a mammogram file or a folder of them"
        raise FileNotFoundError(f"input_dir: got {root}, which does not exist; want {want}")
    results = {p.parent for p in root.rglob(REPORT_NAME)}  # earlier results below the input are no input
    candidates = (p for p in sorted(root.rglob("*")) if p.is_file() and _is_candidate(p.relative_to(root)))
    files = [p for p in candidates if results.isdisjoint(p.parents)]
    if not files:
        want = "DICOM, PNG, TIFF, JPEG or NIfTI"
        raise FileNotFoundError(f"input_dir: got {root}, which holds no image file; want {want}")
    full = [p.relative_to(root).as_posix() for p in files]
    short = [_without_suffix(Path(name)).as_posix() for name in full]
    shared = Counter(name.casefold() for names in zip(full, short, strict=True) for name in set(names))
    names = [f if shared[s.casefold()] > 1 else s for f, s in zip(full, short, strict=True)]
    return [{"image": str(p), "image_id": name} for p, name in zip(files, names, strict=True)]


class TolerantDataset(Dataset):
    """A MONAI data set whose unreadable items become failure records instead of exceptions.

    A failed item is {"image_id": ..., "failure": {"file", "stage", "reason"}} and holds no image; `TolerantEvaluator`
    records it and goes on with the next one. The items of `data` have the keys "image" and "image_id".
    """

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
    ignored = relative.suffix.lower() in IGNORED_SUFFIXES or relative.name.lower() in ("dicomdir", "thumbs.db")
    return not hidden and not ignored


def _without_suffix(path: Path) -> Path:
    if path.name.lower().endswith(".nii.gz"):
        return path.with_name(path.name[:-7])
    return path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
