"""Writing results: every file appears complete or not at all."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PARTIAL = ".partial-"  # begins the names of files that are being written
UMASK = os.umask(0)  # read once: reading sets it for a moment, which threads must not see
os.umask(UMASK)


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Have `write` write the whole file to a temporary path beside `path` (same suffixes), then move it into place.

    Whatever fails, nothing half-written is left at `path`, which is returned; its folder is made when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL, suffix=suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o666 & ~UMASK)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | Path, content: Any) -> Path:
    """Write JSON with two-space indents, UTF-8, no NaN; undecodable bytes of file names as escapes (\\udcff)."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomically(path, lambda p: p.write_text(text + "\n", encoding="utf-8", errors="backslashreplace"))


def json_values(value: Any) -> Any:
    """As JSON types, containers, arrays and tensors included: a number that is not finite becomes None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): json_values(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_png(path: str | Path, array: np.ndarray, compression: int = 6) -> Path:
    """Write uint8 or uint16 grey (rows, cols), or uint8 RGB (rows, cols, 3); compression 0 (none) to 9."""
    return write_atomically(path, lambda p: Image.fromarray(array).save(p, format="PNG", compress_level=compression))


def sha256_of(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
