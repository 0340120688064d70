"""Property: whatever a file holds, only a MammogramReadError that names it may come out of an entry point.

`HOSTILE_SECONDS=3600 pytest -m slow tests/hostile/test_fuzz.py` searches for longer, with new examples.
"""

from __future__ import annotations

import json
import logging
import os
import plistlib
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import keyword_dict

from scripts.data.labels.inbreast_xml import annotation_of, read_rois, rois_to_label
from scripts.data.labels.points import points_to_label
from scripts.data.reader.errors import MammogramReadError
from tests.data.inbreast_factory import contour, oval, point, write_xml
from tests.hostile.lies import dicom_bytes
from tests.hostile.outcome import HANG, UNCLEAR, outcome

FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
SHAPE = (96, 80)

edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["set", "insert", "delete", "cut", "repeat"]), st.binary(max_size=12)),
    min_size=1,
    max_size=6,
)
odd_numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([0, -1, 1e308, 65536, 2**31]))
leaves = st.one_of(st.none(), st.booleans(), odd_numbers, st.text(max_size=12), st.binary(max_size=12))
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=4) | st.dictionaries(st.text(max_size=8), t, max_size=4))


def edited(content: bytes, changes) -> bytes:
    """Content with bytes set, inserted, deleted, cut off or repeated; half of the places are in the first 600 bytes."""
    for where, what, data in changes:
        place = int(2 * where * min(600, len(content))) if where < 0.5 else int((2 * where - 1) * len(content))
        rest = {"insert": place, "repeat": max(place - 40, 0)}.get(what, place + len(data))
        content = content[:place] + (b"" if what == "delete" else data) + (b"" if what == "cut" else content[rest:])
    return content


def check_image(path, data: bytes) -> None:
    path.write_bytes(data)
    what, said = outcome(path, None, may_go_unnoticed=True)
    assert what not in (HANG, UNCLEAR), said


def check_label(read, path) -> None:
    try:
        read()
    except MammogramReadError as error:
        assert error.path == str(path)
        assert str(error).isprintable()


# What is fuzzed: name -> (strategy, what is done with an example)


def fuzz_bytes(folder, seeds, names):
    strategy = st.tuples(st.sampled_from([name for name in seeds if name.startswith(names)]), edits)
    return strategy, lambda drawn: check_image(folder / "x", edited(seeds[drawn[0]].content, drawn[1]))


def fuzz_tags(folder, seeds):
    keywords = ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"]
    keywords += ["PhotometricInterpretation", "WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope"]
    keywords += [
        "RescaleIntercept",
        "PixelPaddingValue",
        "ImagerPixelSpacing",
        "PatientID",
        "SOPClassUID",
        "Laterality",
    ]
    keywords += ["NumberOfFrames", "PresentationLUTShape", "VOILUTSequence", "ModalityLUTSequence", "ViewCodeSequence"]
    keywords += ["SharedFunctionalGroupsSequence", "PlanarConfiguration", "PixelData", "PresentationIntentType"]
    assert set(keywords) <= set(keyword_dict)
    values = st.one_of(odd_numbers, st.text(max_size=20), st.binary(max_size=20).map(lambda data: data + data))
    kinds = st.sampled_from(["US", "SS", "DS", "IS", "LO", "UN", "FD", "FL", "OB", "CS", "UL"])
    change = st.tuples(st.sampled_from(keywords), kinds, st.lists(values, min_size=1, max_size=3))
    names = [name for name in seeds if name.startswith("dicom")]

    def check(drawn):
        dataset = dcmread(seeds[drawn[0]].path)
        for keyword, kind, value in drawn[1]:
            try:
                dataset.add_new(keyword, kind, value[0] if len(value) == 1 else value)
                data = dicom_bytes(dataset)
            except Exception:  # a value that pydicom does not write
                return
            check_image(folder / "x", data)

    return st.tuples(st.sampled_from(names), st.lists(change, min_size=1, max_size=3)), check


def fuzz_xml(folder, seeds):
    rois = [point(3.5, 7.25), contour([(5, 5), (12, 6), (9, 14)]), oval(40, 40, 8, 5)]
    whole = write_xml(folder / "whole.xml", rois).read_bytes()
    keys = st.sampled_from(["Point_px", "NumberOfPoints", "Name", "Type", "Area", "Extra"])
    texts = st.text(alphabet="(), .-0123456789eEnaif", max_size=16) | st.just("(1.5, 2.5)")
    roi = st.dictionaries(keys, trees | st.lists(texts, max_size=6), max_size=6)
    structured = st.lists(roi, max_size=4).map(lambda rois: {"Images": [{"ROIs": rois, "NumberOfROIs": len(rois)}]})
    path = folder / "x.xml"

    def check(drawn):
        changes, content = drawn
        if changes:
            path.write_bytes(edited(whole, changes))
        else:
            try:
                path.write_bytes(plistlib.dumps(content, skipkeys=True))
            except (TypeError, OverflowError, ValueError):  # what a plist cannot hold
                return

        def read():
            rois = read_rois(path)
            annotation_of(rois)
            label = rois_to_label(rois, SHAPE, source=path)
            assert label.shape == SHAPE

        check_label(read, path)

    return st.tuples(edits, st.none()) | st.tuples(st.none(), structured | trees), check


def fuzz_points(folder, seeds):
    row = st.fixed_dictionaries({"row": trees, "col": trees}, optional={"diameter_mm": trees, "x": trees})
    numbers = st.fixed_dictionaries({"row": odd_numbers, "col": odd_numbers}, optional={"diameter_mm": odd_numbers})

    def plain(value):
        return value.hex() if isinstance(value, bytes) else str(value)

    def check(drawn):
        rows, as_json, changes = drawn
        path = folder / ("x.json" if as_json else "x.csv")
        if as_json:
            text = json.dumps(rows, default=plain, skipkeys=True)
        else:
            cells = [",".join(str(value) for value in row.values()) for row in rows if isinstance(row, dict)]
            text = "\n".join(["row,col,diameter_mm", *cells])
        path.write_bytes(
            edited(text.encode("utf-8", "surrogatepass"), changes) if changes else text.encode("utf-8", "replace")
        )
        check_label(lambda: points_to_label(path, SHAPE, (0.07, 0.07)), path)

    return (
        st.tuples(st.lists(row | numbers, max_size=4) | trees.map(lambda t: [t]), st.booleans(), st.none() | edits),
        check,
    )


FUZZED = {
    "DICOM": lambda folder, seeds: fuzz_bytes(folder, seeds, "dicom"),
    "DICOM tags": fuzz_tags,
    "TIFF": lambda folder, seeds: fuzz_bytes(folder, seeds, "tiff"),
    "NIfTI": lambda folder, seeds: fuzz_bytes(folder, seeds, "nifti"),
    "PNG and JPEG": lambda folder, seeds: fuzz_bytes(folder, seeds, ("png", "jpeg")),
    "INbreast XML": fuzz_xml,
    "points": fuzz_points,
}


@pytest.fixture(autouse=True)
def quiet():
    """No thousands of lines about spacing and dropped points."""
    logging.disable(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with np.errstate(all="ignore"):
            yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", FUZZED)
def test_only_clear_errors_come_out(seeds, tmp_path, name):
    strategy, check = FUZZED[name](tmp_path, seeds)
    settings(FEW)(given(strategy)(check))()


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZED)
def test_only_clear_errors_come_out_of_many(seeds, tmp_path, name):
    strategy, check = FUZZED[name](tmp_path, seeds)
    end, rounds = time.monotonic() + float(os.environ.get("HOSTILE_SECONDS", "70")) / len(FUZZED), 0
    while time.monotonic() < end:
        settings(FEW, max_examples=500, database=None, derandomize=False)(given(strategy)(check))()
        rounds += 1
    print(f"\n{name}: {500 * rounds} examples")
