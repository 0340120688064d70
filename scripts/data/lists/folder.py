"""Files and folders of mammograms as a data set that survives a bad file."""

import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from monai.data import Dataset

from scripts.common.identity import Identity
from scripts.common.outcomes import FAILED, NOT_ATTEMPTED
from scripts.common.text import printable
from scripts.data.reader.errors import NoMammogramError

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".dcm", ".dicom", ".ima", ".nii", ".png", ".tif", ".tiff", ".jpg", ".jpeg"}
IGNORED_SUFFIXES = {".csv", ".doc", ".docx", ".gif", ".htm", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".py"}
IGNORED_SUFFIXES |= {".parquet", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"}
FAILURE = "failure"
REPORT_NAME, IMAGES_NAME = "run_report.json", "images.csv"
#: Files of results: one that lies beside a report or a mask of ours is no input; no result folder has such a name.
RESULT_FILES = frozenset(
    ("mask.nii.gz", "instances.nii.gz", "map.nii.gz", "heat_map.png", "picture.png", "findings.csv", "clusters.csv")
    + ("mask.nrrd", "instances.seg.nrrd")
    + ("segmentation.dcm", "segmentation_labelmap.dcm", "report_sr.dcm", "cad_sr.dcm")
    + ("findings.json", "failure.json", "study.json", REPORT_NAME, IMAGES_NAME)
)
SCHEMA_PREFIX = "microcalcification-"  # of the "schema" that our JSON files begin with
NIFTI_DESCRIPTION = "microcalcification"  # begins the header's `descrip` of our label maps


def list_mammograms(path: str | int | Path, identity: Identity | None = None) -> list[dict[str, str]]:
    """Find the files to work on: one file, or a folder that is searched with its sub-folders, also linked ones.

    Passed over in folders, and told in one line of the log, are hidden files, DICOMDIR, files whose suffix cannot be an
    image (text, tables, documents), broken links, and results of this bundle (known by what they hold). Every other
    file is tried, because DICOM files often have no suffix. Nothing found is a FileNotFoundError.

    The items {"image": path, "image_id": name for outputs} are sorted by path; see `result_ids` and `Identity`.
    """
    if not isinstance(path, str | int | Path):
        raise TypeError(f"input_dir: got {path!r}; want one path (a name with commas or brackets needs inner quotes)")
    root, identity = Path(str(path)).expanduser(), identity or Identity()
    if root.is_file():
        names, files = [root.name], [root]
    else:
        names, files = _search(root)
    ids = [identity.image_id(name, number) for number, name in enumerate(result_ids(names), start=1)]
    return [{"image": str(file), "image_id": name} for file, name in zip(files, ids, strict=True)]


def result_ids(names: Sequence[str]) -> list[str]:
    """The folder of each file's results, of its path below the input folder ("a/b.dcm" -> "a/b"): no two collide.

    Files that differ only in the suffix keep it. Bytes that are no UTF-8 and control characters become %FF; a part that
    is called as a file of results gets "_"; names that are still the same but for upper and lower case get ~2, ~3.
    """
    full = [_safe(name) for name in names]
    short = [_safe(_without_suffix(PurePosixPath(name)).as_posix()) for name in names]
    shared = Counter(name.casefold() for pair in zip(full, short, strict=True) for name in set(pair))
    ids: list[str] = []
    taken: set[str] = set()
    for long, brief in zip(full, short, strict=True):
        name = wish = long if shared[brief.casefold()] > 1 else brief
        number = 2
        while name.casefold() in taken:
            name, number = f"{wish}~{number}", number + 1
        taken.add(name.casefold())
        ids.append(name)
    return ids


class TolerantDataset(Dataset):
    """A MONAI data set whose unreadable items become failure records instead of exceptions.

    A failed item is {"image_id": ..., "failure": {"status", "file", "stage", "reason"}} and holds no image, and
    `TolerantEvaluator` records it and goes on with the next one. The items of `data` have the keys "image" and
    "image_id".
    """

    def __getitem__(self, index: Any) -> Any:
        """The transformed item, or its failure record."""
        try:
            return super().__getitem__(index)
        except Exception as error:
            item = self.data[index]
            return {"image_id": item.get("image_id", ""), FAILURE: describe_failure(item["image"], "reading", error)}


def describe_failure(file: str | Path, stage: str, error: BaseException) -> dict[str, str]:
    """One failure as plain text; MONAI's "applying transform" errors give way to what caused them.

    Its status is "not attempted" for a file that was refused for what it is, else "failed".
    """
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    logger.debug("%s failed for %s", stage, file, exc_info=error)
    status = NOT_ATTEMPTED if isinstance(error, NoMammogramError) else FAILED
    return {"status": status, "file": str(file), "stage": stage, "reason": f"{type(error).__name__}: {error}"}


def _search(root: Path) -> tuple[list[str], list[Path]]:
    """Paths below the folder with "/" between their parts, and the files."""
    if not root.is_dir():
        want = "a mammogram file or a folder of them"
        raise FileNotFoundError(f"input_dir: got {root}, which does not exist; want {want}")
    found: dict[str, Path] = {}
    passed_over: Counter[str] = Counter()
    for file in sorted(_files(root, passed_over)):
        relative = file.relative_to(root)
        if reason := _no_input(file, relative):
            passed_over[reason] += 1
        else:
            found[relative.as_posix()] = file
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(passed_over.items()))
    if told:
        logger.warning("%s: passed over: %s", printable(root), told)
    if not found:
        want = "DICOM, PNG, TIFF, JPEG or NIfTI"
        got = f"{root}, which holds no image file" + (f" (passed over: {told})" if told else "")
        raise FileNotFoundError(f"input_dir: got {got}; want {want}")
    return list(found), list(found.values())


def _files(root: Path, passed_over: Counter[str]) -> Iterator[Path]:
    """All files below a folder; linked folders are entered, each real folder once."""
    entered = {os.path.realpath(root)}

    def unreadable(error: OSError) -> None:
        passed_over[f"unreadable folders ({error.strerror})"] += 1

    for folder, below, names in os.walk(root, onerror=unreadable, followlinks=True):
        for name in sorted(below):
            real = os.path.realpath(Path(folder, name))
            if real in entered:
                below.remove(name)
                passed_over["folders linked to one that is searched already"] += 1
            entered.add(real)
        yield from (Path(folder, name) for name in names)


def _no_input(file: Path, relative: Path) -> str:
    """Why a file is passed over; "" for one that is tried."""
    if any(part.startswith(".") for part in relative.parts):
        return "hidden"
    if relative.suffix.lower() in IGNORED_SUFFIXES:
        return "whose suffix is no image's"
    if relative.name.lower() in ("dicomdir", "thumbs.db"):
        return "DICOMDIR or Thumbs.db"
    if not file.is_file():
        return "broken links, devices or pipes"
    return "results of this bundle" if _is_result(file) else ""


def _is_result(file: Path) -> bool:
    """Whether a file has the name of a result, and lies beside a report or a label map of ours, or is one itself."""
    if file.name not in RESULT_FILES:
        return False
    reports = (file.with_name(name) for name in ("findings.json", "failure.json", "study.json"))
    maps = (file.with_name(name) for name in ("mask.nii.gz", "instances.nii.gz", "map.nii.gz"))
    return any(map(is_our_json, reports)) or any(map(is_our_nifti, maps))


def is_our_json(file: Path) -> bool:
    """Whether a JSON file of this bundle: its first key is "schema", with our prefix."""
    return f'"schema": "{SCHEMA_PREFIX}'.encode() in _head(file)


def is_our_nifti(file: Path) -> bool:
    """Whether a compressed label map of this bundle, by its header's description."""
    try:
        header = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(_head(file), 348)
    except zlib.error:
        return False
    return header[148:228].startswith(NIFTI_DESCRIPTION.encode())


def _head(file: Path, size: int = 1024) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError:
        return b""


def _safe(name: str) -> str:
    parts = ("".join(f"%{b:02X}" for b in os.fsencode(c)) if printable(c) != c else c for c in name)
    return "/".join(f"{part}_" if part.casefold() in RESULT_FILES else part for part in "".join(parts).split("/"))


def _without_suffix(path: PurePosixPath) -> PurePosixPath:
    if path.name.lower().endswith(".nii.gz"):
        return path.with_name(path.name[:-7])
    return path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
