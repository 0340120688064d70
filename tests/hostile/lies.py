"""Files that are well formed and lie: about their size, their data, or how much they hold. (name, bytes, reason)."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from tests.data.dicom_factory import lut_item, mg_dataset
from tests.hostile.mutations import cut_and_padded
from tests.hostile.seeds import COLS, ROWS, SYNTAXES, Seed, picture

Lie = tuple[str, bytes, str]  # what it says, the file, the reason (regular expression) that the refusal must give
MEGABYTE = 1 << 20


def deflate_bomb(megabytes: int, raw: bool = False) -> bytes:
    """A stream of a thousandth of what it inflates to: the same block of zeros again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    check = struct.pack(">I", zlib.adler32(bytes(MEGABYTE)))  # not the right one: nobody should get that far
    return block * megabytes + last if raw else b"\x78\xda" + block * megabytes + last + check


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Names and data of the chunks of a PNG."""
    place, found = 8, []
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += length + 12
    return found


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def png_lies(content: bytes) -> Iterator[Lie]:
    """About a sound PNG of 8 or 16 bits."""
    chunks = png_chunks(content)
    header, rest = chunks[0][1], chunks[1:]
    cols, rows, depth = struct.unpack(">IIB", header[:9])
    for name, size in {"less rows": (cols, rows - 1), "less columns": (cols - 1, rows), "turned": (rows, cols)}.items():
        data = png_of([(b"IHDR", struct.pack(">II", *size) + header[8:]), *rest])
        yield name, data, "more data than|less data than"
    yield "more rows", png_of([(b"IHDR", struct.pack(">II", cols, rows + 1) + header[8:]), *rest]), "less data than"
    yield "other depth", png_of([(b"IHDR", header[:8] + bytes([24 - depth]) + header[9:]), *rest]), "ess data|ore data"
    huge = struct.pack(">II", 30000, 30000) + header[8:]
    yield "huge", png_of([(b"IHDR", huge), *rest]), "million pixels|bomb"
    yield "wide", png_of([(b"IHDR", struct.pack(">II", 40000, 1) + header[8:]), *rest]), "32767 px"
    bomb = [(b"IHDR", header), (b"IDAT", deflate_bomb(300)), (b"IEND", b"")]
    yield "IDAT bomb", png_of(bomb), "more data than"
    text = (b"zTXt", b"Comment\0\0" + deflate_bomb(300))
    yield "text bomb", png_of([(b"IHDR", header), text, *rest]), "too large|Decompressed|MAX_TEXT|wrong|limit|png file"
    yield "tRNS", png_of([(b"IHDR", header), (b"tRNS", b"\0\0"), *rest]), "transparent"
    control = (b"acTL", struct.pack(">II", 2, 0))
    yield "animated", png_of([(b"IHDR", header), control, *rest]), "animated"
    yield "no end", png_of(chunks[:-1]), "cut"
    yield "wrong checksum", content[:60] + bytes([content[60] ^ 1]) + content[61:], "wrong checksum|cut|broken PNG"
    pixels = b"".join(data for name, data in chunks if name == b"IDAT")
    yield "two streams", png_of([(b"IHDR", header), (b"IDAT", pixels * 2), (b"IEND", b"")]), "after the end"


def tiff_entries(content: bytes) -> tuple[str, bool, int, dict[int, int], int]:
    """Byte order, whether it is a BigTIFF, place of the first directory, {tag: place of its entry}, place of the next
    directory's offset."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), content, place)
    first, step = (place + 8, 20) if big else (place + 2, 12)
    tags = {struct.unpack_from(order + "H", content, first + n * step)[0]: first + n * step for n in range(count)}
    return order, big, place, tags, first + count * step


def tiff_with(content: bytes, tag: int, value: int | list[int]) -> bytes:
    """A TIFF with another value of a tag; with one too long to stand in its entry, of each of its values."""
    order, big, _, tags, _ = tiff_entries(content)
    kind, count = struct.unpack_from(order + ("HQ" if big else "HI"), content, tags[tag] + 2)
    letter, place = {3: "H", 4: "I", 16: "Q"}[kind], tags[tag] + (12 if big else 8)
    if struct.calcsize(letter) * count > (8 if big else 4):
        (place,) = struct.unpack_from(order + ("Q" if big else "I"), content, place)
    values = value if isinstance(value, list) else [value] * count
    changed = bytearray(content)
    struct.pack_into(f"{order}{len(values)}{letter}", changed, place, *values)
    return bytes(changed)


def tiff_lies(content: bytes) -> Iterator[Lie]:
    """About a sound TIFF of strips or tiles."""
    order, big, first, tags, chain = tiff_entries(content)
    places, counts = (324, 325) if 324 in tags else (273, 279)
    size = r"strips|tiles|strip of|tile of|bytes after|damaged or unusual|overlap"
    yield "less rows", tiff_with(content, 257, ROWS - 1 if places == 273 else ROWS // 2), size
    yield "less columns", tiff_with(content, 256, COLS - 1 if places == 273 else COLS // 2), size
    yield "more rows", tiff_with(content, 257, ROWS * 2), size
    yield "huge", tiff_with(tiff_with(content, 257, 30000), 256, 30000), "million pixels"
    yield "wide", tiff_with(content, 256, 40000), "32767 px"
    yield "data at 0", tiff_with(content, places, 0), "missing"
    yield "no bytes", tiff_with(content, counts, 0), "missing"
    yield "data beyond", tiff_with(content, places, len(content) - 3), "beyond its end"
    if len(content) > 0 and struct.unpack_from(order + ("Q" if big else "I"), content, tags[places] + 4)[0] > 1:
        yield "data twice", tiff_with(content, places, len(content) // 3), "overlap|beyond|strip of|damaged"
    yield "palette", tiff_with(content, 262, 3), "palette|samples|unusual"
    yield "CMYK", tiff_with(content, 262, 5), "values"
    yield "JPEG", tiff_with(content, 259, 7), "compression|unusual"
    number = order + ("Q" if big else "I")
    for name, target in {"circle": first, "chain beyond": len(content) + 99, "chain into data": 3}.items():
        changed = bytearray(content)
        struct.pack_into(number, changed, chain, target)
        yield name, bytes(changed), "circle" if name == "circle" else "beyond the end|tags|cut within|pages|EOF"
    changed, step = bytearray(content), 8 if big else 4
    empty = struct.pack(order + ("Q" if big else "H"), 0)
    struct.pack_into(number, changed, chain, len(content))
    for n in range(5000):
        here = len(content) + n * (len(empty) + step)
        changed += empty + struct.pack(number, here + len(empty) + step if n < 4999 else 0)
    yield "5000 directories", bytes(changed), "more than 64 pages"


def dicom_bytes(dataset) -> bytes:
    """The file of a dataset."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom_lies(seed: Seed) -> Iterator[Lie]:
    """About a sound DICOM file of any transfer syntax."""
    native = seed.name.removeprefix("dicom_") in ("explicit", "implicit", "big_endian", "deflated")
    sizes = {"less rows": (ROWS - 1, COLS), "less columns": (ROWS, COLS - 1), "more rows": (ROWS + 1, COLS)}
    for name, (rows, cols) in {**sizes, "half": (ROWS // 2, COLS)}.items():
        dataset = dcmread(seed.path)
        dataset.Rows, dataset.Columns = rows, cols
        yield name, dicom_bytes(dataset), "bytes of pixel data|no decoder reads|code stream of|RLE segment"
    tags: dict[str, tuple[dict, str]] = {
        "huge": ({"Rows": 30000, "Columns": 30000}, "million pixels"),
        "wide": ({"Columns": 40000}, "32767 px"),
        "tiny": ({"Rows": 1, "Columns": 1}, "bytes of pixel data|code stream of|RLE segment"),
        "frames": ({"NumberOfFrames": 2}, "2 frames"),
        "frames by the million": ({"NumberOfFrames": 2**31 - 1}, "frames"),
        "colour": (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
            "no decoder|bytes",
        ),
        "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE"),
        "slope 0": ({"RescaleSlope": 0, "RescaleIntercept": 7}, "one output value"),
        "window at infinity": ({"WindowCenter": 1e9, "WindowWidth": 10}, "blank image .*LINEAR 1e"),
        "all is padding": ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 65535}, "blank image .*padding"),
        "no bits": ({"BitsStored": 17}, "BitsStored 17"),
        "infinite slope": ({"RescaleSlope": "1e400"}, "RescaleSlope|unreadable"),
        "short LUT": ({"VOILUTSequence": [lut_item(0, [1, 2], count=9)]}, "LUTData"),
    }
    for name, (changes, reason) in tags.items():
        dataset = dcmread(seed.path)
        for key, value in changes.items():
            if key.startswith("PixelPadding"):
                dataset.add_new(key, "US", value)
            else:
                setattr(dataset, key, value)
        yield name, dicom_bytes(dataset), reason
    for key in ("Rows", "BitsAllocated", "BitsStored", "SamplesPerPixel"):
        dataset = dcmread(seed.path)
        dataset[key].value = [dataset[key].value] * 2
        yield f"two {key}", dicom_bytes(dataset), f"{key} = "
    if native:
        pixels = picture() * 0 + 7
        yield "one value", dicom_bytes(mg_dataset(pixels, syntax=SYNTAXES[seed.name[6:]])), "stored value 7"
    else:
        dataset = dcmread(seed.path)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
        yield "half a stream", dicom_bytes(dataset), "no decoder|damaged|broken|RLE|cut"
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        yield "empty stream", dicom_bytes(dataset), "no decoder|damaged|code stream"


def dicom_bombs() -> Iterator[Lie]:
    """Small files of much data."""
    whole = dicom_bytes(mg_dataset(picture(), syntax=DeflatedExplicitVRLittleEndian))
    start = whole.index(b"1.2.840.10008.1.2.1.99") + 22
    while whole[start : start + 2] == b"\x02\x00":
        start += 8 + int.from_bytes(whole[start + 6 : start + 8], "little")
    inner = zlib.decompress(whole[start:], -15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(inner) + packer.flush(zlib.Z_FULL_FLUSH)
    yield "deflated dataset", whole[:start] + head + deflate_bomb(400, raw=True), "deflated dataset of more than"
    dataset = mg_dataset(picture())
    segment = b"\x81\x00" * 200_000
    header = np.array([2, 64, 64 + len(segment), *[0] * 13], "<u4").tobytes()
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([header + segment * 2])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    yield "RLE segments", dicom_bytes(dataset), "RLE segment of 25600000 bytes"


def nifti_lies(content: bytes) -> Iterator[Lie]:
    """About a sound, uncompressed NIfTI-1."""

    def with_(place: int, form: str, *values: float) -> bytes:
        changed = bytearray(content)
        struct.pack_into("<" + form, changed, place, *values)
        return bytes(changed)

    nan = float("nan")
    lies: dict[str, tuple[bytes, str]] = {
        "less rows": (with_(44, "h", ROWS - 1), "longer than"),
        "less columns": (with_(42, "h", COLS - 1), "longer than"),
        "more rows": (with_(44, "h", ROWS + 1), "damaged"),
        "8 bits": (with_(70, "hh", 2, 8), "longer than"),
        "64 bits": (with_(70, "hh", 64, 64), "damaged"),
        "complex": (with_(70, "hh", 32, 64), "grey values"),
        "colour": (with_(70, "hh", 128, 24), "grey values"),
        "negative rows": (with_(44, "h", -5), "empty image|damaged|NIfTI"),
        "wide": (with_(40, "hhh", 2, 32767, 32767), "million pixels"),
        "slices": (with_(40, "hhhh", 3, COLS, ROWS // 2, 2), "one slice"),
        "NaN sform": (with_(280, "f", nan), "NaN"),
        "zero sform": (with_(280, "12f", *[0.0] * 12), "zero or infinite"),
        "NaN zooms": (with_(80, "f", nan), "zero or infinite|NaN|damaged"),
        "infinite slope": (with_(112, "ff", float("inf"), 0.0), "infinite|damaged"),
        "values far off": (with_(108, "f", 1e9), "from byte"),
        "values at NaN": (with_(108, "f", nan), "damaged|NaN"),
        "values in the header": (with_(108, "f", 100.0), "damaged|offset|longer"),
        "our own mask": (with_(148, "80s", b"microcalcification mask"), "result of this bundle"),
        "our own map": (with_(148, "80s", b"microcalcification map"), "result of this bundle"),
    }
    for name, (data, reason) in lies.items():
        yield name, data, reason
    packed = gzip.compress(content, mtime=0)
    yield "gz: wrong checksum", packed[:-8] + b"\0\0\0\0" + packed[-4:], "CRC|damaged"
    yield "gz: wrong length", packed[:-4] + b"\1\0\0\0", "damaged"
    yield "gz: bomb", gzip.compress(content[:344] + b"n+1\0" + content[348:] + bytes(50 * MEGABYTE)), "longer than"
    yield "gz: something after", packed + b"PK\x03\x04 and more", "damaged"
    middle = bytearray(packed)
    middle[len(packed) // 2] ^= 0x55
    yield "gz: damaged", bytes(middle), "damaged|no known image"


def jpeg_lies(content: bytes) -> Iterator[Lie]:
    """About a sound JPEG."""
    yield "padded with zeros", cut_and_padded(content, 0.5, b"\0", b"\xff\xd9")[1], "damaged|Corrupt|premature"
    yield "padded with grey", cut_and_padded(content, 0.5, b"\x80", b"\xff\xd9")[1], "damaged|Corrupt|premature"
    yield "cut before its end", content[: len(content) * 3 // 4] + b"\xff\xd9", "damaged|Corrupt|premature"
    frame = next(n for n in range(len(content)) if content[n : n + 2] in (b"\xff\xc0", b"\xff\xc2"))
    for name, place, value in (("less rows", 5, ROWS - 16), ("less columns", 7, COLS - 16), ("turned", 5, COLS)):
        changed = bytearray(content)
        struct.pack_into(">H", changed, frame + place, value)
        yield name, bytes(changed), "damaged|Corrupt"
    buffer = io.BytesIO()
    Image.fromarray((picture() >> 4).astype(np.uint8)).convert("CMYK").save(buffer, format="JPEG")
    yield "CMYK", buffer.getvalue(), "CMYK"


def strangers(seeds: dict[str, Seed]) -> Iterator[Lie]:
    """Files of two formats at once, or of none."""
    text = b"<html><script>alert(1)</script></html>" * 20
    archive, unknown = b"PK\x03\x04" + bytes(300), "no known image format"
    for name, data in {"web page": text, "archive": archive, "program": b"\x7fELF" + bytes(900)}.items():
        yield name, data, unknown
    buffer = io.BytesIO()
    np.save(buffer, picture())
    yield "numpy array", buffer.getvalue(), unknown
    yield "pickle", b"\x80\x04\x95cos\nsystem\n(S'false'\ntR." + bytes(200), unknown
    yield "empty", b"", "empty file"
    yield "GIF", b"GIF89a" + bytes(400), unknown
    for name in ("dicom_explicit", "tiff_strips", "nifti", "png_16"):
        yield f"only the head of {name}", seeds[name].content[:132], ""
        yield f"{name} behind a page", text + seeds[name].content, ""
    yield "TIFF and archive", seeds["tiff_strips"].content + archive + b"x", "after its end"


LIES: dict[str, Callable[[bytes], Iterator[Lie]]] = {
    **dict.fromkeys(("png_8", "png_16"), png_lies),
    **dict.fromkeys(("tiff_strips", "tiff_one_strip", "tiff_big_endian", "tiff_tiles", "tiff_big"), tiff_lies),
    **dict.fromkeys(("tiff_deflate", "tiff_deflate_predictor", "tiff_lzw", "tiff_packbits"), tiff_lies),
    "nifti": nifti_lies,
    "jpeg_file": jpeg_lies,
}


def all_lies(seeds: dict[str, Seed]) -> Iterator[tuple[str, str, bytes, str]]:
    """(seed, lie, bytes, reason) of everything above."""
    for name, seed in seeds.items():
        found = LIES[name](seed.content) if name in LIES else dicom_lies(seed) if name.startswith("dicom_") else ()
        for lie, data, reason in found:
            yield name, lie, data, reason
    for lie, data, reason in (*dicom_bombs(), *strangers(seeds)):
        yield "other", lie, data, reason
