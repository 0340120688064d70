"""Deflated data (PNG, TIFF, DICOM) piece by piece: a small file cannot fill the memory."""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 1 << 20
RAW = -zlib.MAX_WBITS  # a deflate stream without header and checksum, as in DICOM


def inflate(stream: BinaryIO, window_bits: int = zlib.MAX_WBITS) -> Iterator[bytes]:
    """The inflated data in pieces of at most `PIECE_BYTES`.

    A damaged stream, a wrong checksum or more than zeros after its end is a zlib.error, a stream that stops early an
    EOFError.
    """
    inflater = zlib.decompressobj(window_bits)
    while not inflater.eof:
        data = inflater.unconsumed_tail or stream.read(PIECE_BYTES)
        piece = inflater.decompress(data, PIECE_BYTES)
        if not (data or piece or inflater.eof):
            raise EOFError("the compressed data stop early")
        yield piece
    if (inflater.unused_data + stream.read()).strip(b"\0"):
        raise zlib.error("something after the end of the compressed data")


def inflated_size(data: bytes, limit: int) -> int:
    """Bytes that a zlib stream inflates to, checksum verified; limit + 1 as soon as there are more than `limit`."""
    size = 0
    for piece in inflate(io.BytesIO(data)):
        size += len(piece)
        if size > limit:
            return limit + 1
    return size
