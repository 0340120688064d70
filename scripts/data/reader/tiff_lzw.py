"""How many bytes an LZW stream of a TIFF holds (TIFF 6.0, section 13): libtiff stops at the size that it is told."""

import numpy as np

CLEAR, END, FIRST_ENTRY = 256, 257, 258
_INDEX = np.arange(1 << 16)  # of a code since the last Clear; an encoder clears after fewer than 4096
_NEXT_ENTRY = FIRST_ENTRY + np.maximum(_INDEX - 1, 0)  # the table's next entry when that code is read
_WIDTH = 9 + (_NEXT_ENTRY >= 511).astype(int) + (_NEXT_ENTRY >= 1023) + (_NEXT_ENTRY >= 2047)  # bits of the code
_OFFSET = np.concatenate([[0], np.cumsum(_WIDTH)[:-1]])  # bits before it


def lzw_size(data: bytes, limit: int) -> int:
    """Bytes that the stream decodes to; limit + 1 as soon as there are more than `limit`; ValueError if it is damaged.

    Between two Clear codes the widths of all codes are known, so that they are read at once. A code is a byte or the
    string of an earlier code and one byte more: its length is one more than that code's, found by pointer doubling.
    """
    octets = np.frombuffer(data + b"\0" * 4, np.uint8).astype(np.uint32)
    words = octets[:-3] << 24 | octets[1:-2] << 16 | octets[2:-1] << 8 | octets[3:]  # 32 bits from every byte on
    bits, start, size = 8 * len(data), 0, 0
    while start + 9 <= bits:
        codes = _codes(words, start, min(4096, len(_INDEX)), bits)
        if start == 0 and (not len(codes) or codes[0] != CLEAR):
            raise ValueError("LZW data that do not begin with a Clear code")
        if len(codes) and codes[0] in (CLEAR, END):
            if codes[0] == END:
                break
            start += 9
            continue
        stop = np.flatnonzero((codes == CLEAR) | (codes == END))
        count = int(stop[0]) if len(stop) else len(codes)
        if not len(stop) and len(codes) == 4096:
            raise ValueError("LZW data without a Clear code where the table is full")
        size += int(_lengths(codes[:count]).sum())
        if size > limit:
            return limit + 1
        if not len(stop) or codes[count] == END:
            break
        start += int(_OFFSET[count] + _WIDTH[count])
    return size


def _codes(words: np.ndarray, start: int, count: int, bits: int) -> np.ndarray:
    places = start + _OFFSET[:count]
    widths = _WIDTH[: int(np.searchsorted(places + _WIDTH[:count], bits, side="right"))]
    places = places[: len(widths)]
    return (words[places >> 3] >> (32 - (places & 7) - widths).astype(np.uint32)) & ((1 << widths) - 1).astype(
        np.uint32
    )


def _lengths(codes: np.ndarray) -> np.ndarray:
    index = np.arange(len(codes))
    earlier = np.where(codes >= FIRST_ENTRY, codes.astype(np.int64) - FIRST_ENTRY, index)  # itself: a single byte
    if np.any(earlier > index) or np.any((earlier == index) & (codes >= FIRST_ENTRY)):
        raise ValueError("LZW data with a code that is not in the table yet")
    lengths = (earlier != index).astype(np.int64)
    while np.any(earlier != earlier[earlier]):
        lengths, earlier = lengths + lengths[earlier], earlier[earlier]
    return lengths + 1
