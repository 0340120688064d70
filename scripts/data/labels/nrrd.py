"""Masks in NRRD files (`.nrrd`, `.seg.nrrd`), as 3D Slicer and ITK save them.

The format: http://teem.sourceforge.net/nrrd/format.html.

A header of text, an empty line, and the values of one slice, first axis along the columns of the picture.
"""

import bz2
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.data.reader.errors import MammogramReadError, PathLike, check_file
from scripts.data.reader.geometry import IN_FILE_ORDER, display_axes, from_file_axes
from scripts.data.reader.plausible import check_size

MAGIC = b"NRRD000"
#: First of the names that the format gives each type, all others being aliases -> numpy.
TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
#: Patient axes of the directions -> signs that make them RAS.
SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (-1.0, 1.0, 1.0)),
}
DECODERS: dict[str, Callable[[], Any]] = {
    "raw": lambda: None,
    **dict.fromkeys(("gzip", "gz"), lambda: zlib.decompressobj(zlib.MAX_WBITS | 32)),
    **dict.fromkeys(("bzip2", "bz2"), bz2.BZ2Decompressor),
}
VECTOR = re.compile(r"\(([^)]*)\)|none")


def is_nrrd(path: PathLike) -> bool:
    """Whether a file is NRRD, by its first bytes."""
    with Path(path).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_nrrd_mask(path: PathLike, shape: tuple[int, int]) -> np.ndarray:
    """Stored values (rows, cols) in display order, turned as the directions say (see geometry.py); all layers merged.

    A segmentation that Slicer has cropped is put back into its image, which has this (rows, cols) `shape`. Errors are
    MammogramReadErrors.
    """
    try:
        return _read(path, shape)
    except MammogramReadError:
        raise
    except (zlib.error, OSError, ValueError, EOFError) as error:
        raise MammogramReadError(path, f"a damaged NRRD ({error})", "a complete and valid file") from error


def _read(path: PathLike, shape: tuple[int, int]) -> np.ndarray:
    header, data = _parts(path)
    sizes = [int(n) for n in header.get("sizes", "").split()]
    kind, encoding = header.get("type", ""), header.get("encoding", "")
    check_file(path, kind in TYPES and encoding in DECODERS, f"{kind!r} in {encoding!r}", "numbers, raw or compressed")
    odd = next((key for key in ("data file", "datafile", "line skip", "byte skip") if header.get(key, "0") != "0"), "")
    check_file(path, not odd, f"an NRRD with {odd!r}", "one with its values right after its header")
    vectors = [match.group(1) for match in VECTOR.finditer(header.get("space directions", ""))]
    layered = len(sizes) == 4 and (not vectors or vectors[0] is None)
    plane_sizes = sizes[1:] if layered else sizes
    one_slice = len(plane_sizes) in (2, 3) and all(n == 1 for n in plane_sizes[2:])
    check_file(path, one_slice, f"an NRRD of sizes {sizes}", "two dimensions or one slice")
    check_size(path, plane_sizes[1], plane_sizes[0])
    dtype = np.dtype(TYPES[kind]).newbyteorder(">" if header.get("endian") == "big" else "<")
    count = math.prod(sizes)
    decoded = _decoded(data, encoding, count * dtype.itemsize)
    got = f"{len(decoded)} bytes of values"
    check_file(path, len(decoded) == count * dtype.itemsize, got, f"{count * dtype.itemsize}")
    array = np.frombuffer(decoded, dtype).reshape(sizes, order="F")
    plane = (array.max(axis=0) if layered else array).reshape(plane_sizes[:2])
    axes, flips = _orientation(header.get("space", ""), vectors[1:] if layered else vectors)
    return from_file_axes(_uncropped(plane, header, shape, axes), axes, flips)


def _parts(path: PathLike) -> tuple[dict[str, str], bytes]:
    """Fields (lower case), key/value pairs (as they are), and what follows the header."""
    content = Path(path).read_bytes()
    end = re.search(rb"\r?\n\r?\n", content)
    if end is None:
        raise MammogramReadError(path, "an NRRD whose header has no end", "a complete file, header and values in one")
    header: dict[str, str] = {}
    for line in content[: end.start()].decode("utf-8", "replace").splitlines()[1:]:
        name, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            pair = value.startswith("=")
            header[name if pair else name.strip().lower()] = value[1:].strip() if pair else value.strip()
    return header, content[end.end() :]


def _decoded(data: bytes, encoding: str, size: int) -> bytes:
    """`size` bytes; no more are ever unpacked, so that a small file cannot fill the memory."""
    decoder = DECODERS[encoding]()
    if decoder is None:
        return data[:size]
    values = decoder.decompress(data, size + 1)
    if not decoder.eof:  # then the checksum has not been compared either
        raise EOFError(f"{encoding} values that do not end where they should")
    return values


def _orientation(space: str, vectors: list[str | None]) -> tuple[tuple[int, int], tuple[bool, bool]]:
    signs = SPACES.get(space.lower())
    if signs is None or len(vectors) < 2 or None in vectors[:2]:
        return IN_FILE_ORDER, (False, False)
    affine = np.eye(4)
    for axis, vector in enumerate(vectors[:2]):
        affine[:3, axis] = np.array(signs) * [float(number) for number in str(vector).split(",")]
    return display_axes(affine) or (IN_FILE_ORDER, (False, False))


def _uncropped(plane: np.ndarray, header: dict[str, str], shape: tuple[int, int], axes: tuple[int, int]) -> np.ndarray:
    """The whole slice of a `.seg.nrrd` that holds only the part around its segments, in the file's axes."""
    full = [0, 0]
    full[axes[0]], full[axes[1]] = shape
    offset = [int(n) for n in header.get("Segmentation_ReferenceImageExtentOffset", "0 0 0").split()[:2]]
    ends = [start + size for start, size in zip(offset, plane.shape, strict=True)]
    if offset == [0, 0] and plane.shape == tuple(full):
        return plane
    fits = min(offset) >= 0 and ends[0] <= full[0] and ends[1] <= full[1]
    if "Segmentation_ReferenceImageExtentOffset" not in header or not fits:
        return plane  # the caller tells that it does not fit
    whole = np.zeros(full, plane.dtype)
    whole[offset[0] : ends[0], offset[1] : ends[1]] = plane
    return whole
