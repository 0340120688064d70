"""Hostile images: none may crash, hang, end unclearly or be read wrongly without a word.

The sharpest run by default; the campaign of thousands (`-m slow`) draws other damage with every `HOSTILE_SEED`.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.hostile.lies import all_lies, dicom_bombs, dicom_lies, jpeg_lies, nifti_lies, png_lies, strangers, tiff_lies
from tests.hostile.mutations import DELETED, INSERTED, UNNOTICEABLE, mutate
from tests.hostile.outcome import BAD, REFUSED, RIGHT, outcome
from tests.hostile.seeds import COLS, ROWS, picture

SHARPEST = {  # by seed
    "dicom_explicit": [
        "less columns",
        "half",
        "window at infinity",
        "all is padding",
        "slope 0",
        "one value",
        "two Rows",
    ],
    "dicom_big_endian": ["less rows", "two BitsStored", "infinite slope"],
    "dicom_deflated": ["less rows", "more rows"],
    "dicom_rle": ["less rows", "half", "half a stream"],
    "dicom_jpeg_ls": ["less columns", "half a stream", "empty stream"],
    "dicom_jpeg_2000": ["less rows", "half a stream"],
    "dicom_jpeg": ["half a stream", "frames by the million"],
    "tiff_strips": [
        "less rows",
        "data at 0",
        "no bytes",
        "data beyond",
        "data twice",
        "circle",
        "5000 directories",
        "palette",
    ],
    "tiff_big": ["circle", "chain beyond", "less columns"],
    "tiff_big_endian": ["circle", "more rows"],
    "tiff_tiles": ["data at 0", "less rows", "data twice"],
    "tiff_deflate": ["less columns", "less rows"],
    "tiff_lzw": ["less columns", "less rows"],
    "tiff_packbits": ["less columns"],
    "png_16": ["less rows", "IDAT bomb", "text bomb", "tRNS", "animated", "two streams"],
    "nifti": ["less rows", "NaN sform", "zero sform", "our own mask", "gz: wrong checksum", "gz: bomb", "gz: damaged"],
    "jpeg_file": ["padded with zeros", "padded with grey", "cut before its end", "less rows", "CMYK"],
    "other": ["deflated dataset", "RLE segments", "pickle", "TIFF and archive"],
}
MAKERS = {"png": png_lies, "tiff": tiff_lies, "nifti": nifti_lies, "jpeg": jpeg_lies}


@pytest.mark.parametrize("seed, lie", [(seed, lie) for seed, lies in SHARPEST.items() for lie in lies])
def test_the_sharpest(seeds, tmp_path, seed, lie):
    if seed == "other":
        found = (*dicom_bombs(), *strangers(seeds)) if lie != "RLE segments" else dicom_bombs()
    elif seed.startswith("dicom"):
        found = dicom_lies(seeds[seed])
    else:
        found = MAKERS[seed.split("_")[0]](seeds[seed].content)
    data, reason = next((data, reason) for name, data, reason in found if name == lie)
    path = tmp_path / "hostile"
    path.write_bytes(data)
    what, said = outcome(path, None)
    assert what == REFUSED, said
    assert re.search(reason, said), said


def test_sound_files_of_every_format_are_read_right(seeds, pixels):
    assert len(seeds) >= 24
    for name, image in pixels.items():
        assert image.shape == (ROWS, COLS)
        eight_bits = name in ("png_8", "jpeg_file", "dicom_jpeg", "tiff_lzw", "tiff_packbits")
        expected = (picture() >> 4) / 255 if eight_bits else picture() / 4095
        np.testing.assert_allclose(image, expected, atol=0.08 if "jpeg" in name and eight_bits else 1e-6, err_msg=name)


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.dcm", b"two\nlines.png", b"\x1b[2Jescape", b"-rf", b"$(reboot)", b"%s%n", b"a" * 250, b"=cmd|' C'!A0"],
)
def test_odd_names(seeds, pixels, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    for seed in ("dicom_explicit", "tiff_strips", "png_16", "nifti_gz", "jpeg_file"):
        path.write_bytes(seeds[seed].content)
        assert outcome(path, pixels[seed]) == (RIGHT, "")
        path.write_bytes(seeds[seed].content[:-40])
        what, said = outcome(path, None)
        assert what == REFUSED
        assert said.isprintable()
        said.encode()


@pytest.mark.parametrize("name", ["tiff_strips", "png_8", "dicom_explicit"])
def test_polyglots_are_what_their_first_bytes_say(seeds, pixels, tmp_path, name):
    path = tmp_path / "both"
    if name == "dicom_explicit":  # the preamble of a TIFF
        path.write_bytes(b"II*\x00\x10\x00\x00\x00" + seeds[name].content[8:])
    else:
        path.write_bytes(seeds["png_8"].content + b"PK\x03\x04 an archive")
        name = "png_8"
    assert outcome(path, pixels[name]) == (RIGHT, "")


@pytest.mark.slow
def test_campaign(seeds, pixels, tmp_path):
    first = int(os.environ.get("HOSTILE_SEED", "0"))
    logging.disable(logging.ERROR)  # thousands of lines about spacing
    try:
        counts, bad = _campaign(seeds, pixels, tmp_path, first)
    finally:
        logging.disable(logging.NOTSET)
    print(f"\n{sum(counts.values())} hostile files: {dict(counts)}")
    assert sum(counts.values()) >= 600
    assert not bad


def _campaign(seeds, pixels, folder: Path, first: int) -> tuple[Counter, list]:
    counts, bad, path = Counter(), [], folder / "hostile"

    def judge(name, kind, data, expected, may_go_unnoticed):
        path.write_bytes(data)
        what, said = outcome(path, expected, may_go_unnoticed)
        counts[what] += 1
        if what in BAD:
            bad.append((name, kind, what, said))

    for number, (name, seed) in enumerate(seeds.items()):
        # A JPEG finds its way again after missing or foreign bytes, and has no checksum either.
        unnoticeable = UNNOTICEABLE if name != "jpeg_file" else (*UNNOTICEABLE, INSERTED, DELETED)
        for kind, data in mutate(seed.content, np.random.default_rng([first, number]), times=25):
            judge(name, kind, data, pixels[name], kind in unnoticeable and not seed.checksum)
    for name, lie, data, _ in all_lies(seeds):
        judge(name, lie, data, None, False)
    return counts, bad
