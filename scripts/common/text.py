"""Texts from outside (file names, DICOM tags) made harmless: for logs, JSON, tables and folders."""

import unicodedata

#: Categories of characters that would break a line, steer a terminal, or reverse the reading direction; and what a
#: file name's undecodable bytes become (surrogates).
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: object) -> str:
    """One line of valid Unicode: unsafe characters and undecodable bytes of file names as \\x1b, \\xff, \\u2028."""
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSAFE else c for c in str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8 (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
