"""A TIFF of one page. What decoders would fill in, cut off or follow for ever is refused before they see it."""

import logging
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from scripts.data.reader.errors import MammogramReadError, PathLike, check_file
from scripts.data.reader.inflating import inflated_size
from scripts.data.reader.picture import Picture, from_resolution, one_channel
from scripts.data.reader.plausible import MAX_PIXELS, Spacing, check_size
from scripts.data.reader.tiff_lzw import lzw_size

MAX_DIRECTORIES, MAX_TAGS = 64, 1024
PUBLIC_TAGS = 32768  # below it
TYPE_BYTES = {**dict.fromkeys((1, 2, 6, 7), 1), **dict.fromkeys((3, 8), 2), **dict.fromkeys((4, 9, 11, 13), 4)}
TYPE_BYTES |= dict.fromkeys((5, 10, 12, 16, 17, 18), 8)
SEGMENT_TAGS = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
POINTERS = (330, 513, 34665, 34853, 40965)  # to sub-directories: SubIFDs, JPEG, Exif, GPS
MM_PER_UNIT = {2: 25.4, 3: 10.0}  # ResolutionUnit: inch, centimetre
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)  # PhotometricInterpretation
NONE, LZW, PACKBITS, DEFLATE = (1,), (5,), (32773,), (8, 32946)  # Compression
CCITT = (2, 3, 4)  # of 1-bit labels

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs a line for every oddity; what matters is an error


def read_tiff(path: PathLike, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a TIFF; several pages, transparency, colour and data that contradict their tags are a MammogramReadError."""
    end = check_directories(path)
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and not page.is_reduced]
        check_file(path, len(pages) == 1 and pages[0].imagedepth <= 1, f"a TIFF of {len(pages)} pages", "one page")
        page = pages[0]
        check_size(path, page.imagelength, page.imagewidth, max_pixels)
        photometric, compression, depth = int(page.photometric), int(page.compression), page.bitspersample
        check_file(path, photometric <= PALETTE, f"a TIFF of {page.photometric!s} values", "grey values")
        real = page.dtype is not None and page.dtype.kind in "buif" and isinstance(depth, int)
        check_file(path, real, f"TIFF values of type {page.dtype}", "grey values")
        got, want = f"a TIFF with {page.compression!s} compression", "no, Deflate, LZW or PackBits compression"
        check_file(path, compression in NONE + LZW + PACKBITS + DEFLATE + CCITT, got, want)
        _check_segments(path, page)
        _check_end(path, end, [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)])
        white_is_zero, spacing = photometric == WHITE_IS_ZERO, _spacing(page)
        values = page.asarray(maxworkers=1) if compression in NONE + PACKBITS + DEFLATE else None
    if values is None:  # tifffile has no codec of its own
        if white_is_zero or (depth > 8 and page.samplesperpixel > 1):
            raise MammogramReadError(path, f"an unusual TIFF ({page.compression!s})", "no or Deflate compression")
        with Image.open(path, formats=("tiff",)) as image:
            values = np.asarray(image)
    if page.planarconfig == 2 and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    values = one_channel(path, values)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    stated = np.issubdtype(values.dtype, np.integer) and (depth < 8 or white_is_zero)
    no_mammogram = "a palette image" if photometric == PALETTE else ""
    return Picture(values, spacing, 2**depth - 1 if stated else None, white_is_zero, no_mammogram=no_mammogram)


def check_directories(path: PathLike) -> int:
    """Walk the chain of image file directories, classic or BigTIFF: it must end, and lie with its public tags inside of
    the file (else MammogramReadError). Gives the place where the last of all that ends."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        order = "<" if file.read(2) == b"II" else ">"
        big = _read(file, order + "H")[0] == 43
        if big:
            widths = _read(file, order + "HH")
            check_file(path, widths == (8, 0), f"a BigTIFF with offsets of {widths[0]} bytes", "8 bytes")
        number, entry = ("Q", "HHQQ") if big else ("I", "HHII")
        (place,) = _read(file, order + number)
        seen: set[int] = set()
        end = file.tell()
        while place:
            check_file(path, place not in seen, "a TIFF whose directories form a circle", "one page")
            check_file(path, len(seen) < MAX_DIRECTORIES, f"a TIFF of more than {MAX_DIRECTORIES} pages", "one page")
            seen.add(place)
            file.seek(min(place, size))
            (count,) = _read(file, order + ("Q" if big else "H"))
            check_file(path, count <= MAX_TAGS, f"a TIFF page with {count} tags", f"at most {MAX_TAGS}")
            tags = []
            for _ in range(count):
                tag, kind, amount, value = _read(file, order + entry)
                length = TYPE_BYTES.get(kind, 1) * amount
                outside = length > struct.calcsize(number) and value + length > size
                check_file(path, tag >= PUBLIC_TAGS or not outside, f"a TIFF cut within tag {tag}", "a complete file")
                tags.append(tag)
                end = max(end, value + length if length > struct.calcsize(number) else 0)
            repeated = sorted({tag for tag in tags if tags.count(tag) > 1 and tag < PUBLIC_TAGS})
            check_file(path, not repeated, f"a TIFF page with two values of tag {repeated}", "one")
            (place,) = _read(file, order + number)
            end = max(end, file.tell())
    return end


def _read(file: BinaryIO, form: str) -> tuple[int, ...]:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise EOFError("a directory beyond the end of the file")
    return struct.unpack(form, data)


def _check_segments(path: PathLike, page: tifffile.TiffPage) -> None:
    """Strips or tiles are all there, inside of the file, apart from each other, and hold what the size asks for."""
    kind = "tile" if page.is_tiled else "strip"
    starts, counts = (_whole_numbers(page, tag) for tag in SEGMENT_TAGS[page.is_tiled])
    rows, channels = page.imagelength, page.samplesperpixel
    planes, interleaved = (channels, 1) if page.planarconfig == 2 else (1, channels)
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    check_file(path, height > 0 and width > 0, f"a TIFF with {kind}s of {height} x {width} px", "a size above 0")
    height = height if page.is_tiled else min(height, rows)
    down, across = -(-rows // height), -(-page.imagewidth // width)
    wanted = planes * down * across
    got = f"a TIFF with {len(starts)} {kind}s and {len(counts)} lengths"
    check_file(path, len(starts) == len(counts) == wanted, got, f"{wanted} {kind}s as its size asks for")
    size, end = Path(path).stat().st_size, 0
    for start, count in sorted(zip(starts, counts, strict=True)):
        check_file(path, start > 0 and count > 0, f"a TIFF with missing {kind}s", "complete data")
        check_file(path, start + count <= size, f"a TIFF with {kind}s beyond its end", "a complete file")
        check_file(path, start >= end, f"a TIFF with {kind}s that overlap", f"separate {kind}s")
        end = start + count
    row_bytes = (width * interleaved * page.bitspersample + 7) // 8
    with Path(path).open("rb") as file:
        for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
            lines = height if page.is_tiled else min(height, rows - number % down * height)
            asked = lines * row_bytes
            held = _held_bytes(file, int(page.compression), start, count, asked)
            if held is not None:
                got = f"a TIFF {kind} of {f'more than {asked}' if held > asked else held} bytes"
                check_file(path, held == asked, got, f"{asked} bytes")


def _check_end(path: PathLike, end: int, pages: list[tifffile.TiffPage]) -> None:
    """Refuse more than padding after the last thing that the pages know of: bytes were inserted before it."""
    if any(tag in page.tags for tag in POINTERS for page in pages):
        return  # further directories, which nothing here needs
    for page in pages:
        for places, counts in SEGMENT_TAGS:
            known = zip(_whole_numbers(page, places), _whole_numbers(page, counts), strict=False)
            end = max(end, *(start + count for start, count in known), 0)
    with Path(path).open("rb") as file:
        file.seek(end)
        left = file.read()
    padding = (b"", b"\0") if end % 2 else (b"",)  # to a word
    check_file(
        path, left in padding, f"a TIFF with {len(left)} bytes after its end", "a file that its tags account for"
    )


def _held_bytes(file: BinaryIO, compression: int, start: int, count: int, limit: int) -> int | None:
    """Bytes of a strip or tile, unpacked, at most limit + 1; None where nobody knows (CCITT)."""
    if compression in NONE:
        return count
    file.seek(start)
    data = file.read(count)
    if compression in DEFLATE:
        return inflated_size(data, limit)
    if compression in LZW:
        return lzw_size(data, limit)
    return _packbits_size(data, limit) if compression in PACKBITS else None


def _packbits_size(data: bytes, limit: int) -> int:
    place, size = 0, 0
    while place < len(data) and size <= limit:
        header = data[place]
        size += header + 1 if header < 128 else 257 - header if header > 128 else 0
        place += header + 2 if header < 128 else 2 if header > 128 else 1
    if place > len(data):
        raise EOFError("PackBits data that stop early")
    return size


def _whole_numbers(page: tifffile.TiffPage, tag: int) -> tuple[int, ...]:
    found = page.tags.get(tag)
    if found is None:
        return ()
    return tuple(found.value) if isinstance(found.value, tuple) else (int(found.value),)


def _spacing(page: tifffile.TiffPage) -> Spacing | None:
    y_tag, x_tag, unit = (page.tags.get(name) for name in ("YResolution", "XResolution", "ResolutionUnit"))
    if y_tag is None or x_tag is None:
        return None
    mm = MM_PER_UNIT.get(int(unit.value) if unit is not None else 2)
    rows, cols = (n / d if d else 0.0 for n, d in (y_tag.value, x_tag.value))
    return None if mm is None else from_resolution(rows, cols, mm)
