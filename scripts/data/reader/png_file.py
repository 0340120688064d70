"""The chunks of a PNG (PNG 1.2, sections 3, 8 and 9): Pillow verifies neither the data's checksums nor their length."""

import io
import struct
import zlib
from collections.abc import Iterator

from scripts.data.reader.errors import PathLike, check_file
from scripts.data.reader.inflating import inflate

SIGNATURE_BYTES = 8
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a colour type
INTERLACE_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def check_png(path: PathLike, data: bytes) -> str:
    """Refuse a damaged or animated PNG and one whose data contradict its size (MammogramReadError).

    Gives why it is no mammogram: "a palette image", "a transparent image", or "".
    """
    names, pixels = set(), []
    for name, content in _chunks(path, data):
        names.add(name)
        if name == b"IHDR":
            header = struct.unpack(">IIBBBBB", content)
        elif name == b"IDAT":
            pixels.append(content)
    check_file(path, {b"IHDR", b"IDAT", b"IEND"} <= names, "an incomplete PNG", "a complete file")
    check_file(path, b"acTL" not in names, "an animated PNG", "one picture")
    wanted = _scanline_bytes(header)
    held = 0
    for piece in inflate(io.BytesIO(b"".join(pixels))):
        held += len(piece)
        check_file(path, held <= wanted, f"a PNG with more data than {header[1]} x {header[0]} px", "its size")
    check_file(path, held == wanted, f"a PNG with less data than {header[1]} x {header[0]} px", "its size")
    return "a palette image" if header[3] == 3 else "a transparent image" if b"tRNS" in names else ""


def _chunks(path: PathLike, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents, checksums verified, up to IEND."""
    place, name = SIGNATURE_BYTES, b""
    while name != b"IEND":
        check_file(path, place + 12 <= len(data), "a PNG that is cut", "a complete file")
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        check_file(path, end + 4 <= len(data), "a PNG that is cut", "a complete file")
        sound = zlib.crc32(data[place + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
        check_file(path, sound, f"a PNG with a wrong checksum (chunk {name!r})", "an undamaged file")
        yield name, data[place + 8 : end]
        place = end + 4


def _scanline_bytes(header: tuple[int, ...]) -> int:
    """Bytes of all lines with their filter bytes."""
    cols, rows, depth, colour, *_, interlaced = header
    bits = depth * CHANNELS[colour]
    total = 0
    for top, left, down, across in INTERLACE_PASSES if interlaced else ((0, 0, 1, 1),):
        lines, width = -(-(rows - top) // down), -(-(cols - left) // across)
        total += lines * (1 + (width * bits + 7) // 8) if lines > 0 and width > 0 else 0
    return total
