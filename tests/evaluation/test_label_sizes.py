"""Size histogram of labels, each section apart."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from scripts.evaluation.sections import LabelSizes
from scripts.evaluation.sections.sizes import size_counts


def label_of(*areas):
    """One row of pixels per object."""
    label = np.zeros((2 * len(areas) + 1, 200), np.uint8)
    for place, area in enumerate(areas):
        label[2 * place, :area] = 1
    return label


def test_bins_are_one_pixel_wide_and_the_last_one_is_open():
    counts = size_counts(label_of(1, 1, 2, 99, 100, 150))
    assert counts.size == 100 and counts.sum() == 6
    assert (counts[0], counts[1], counts[98], counts[99]) == (2, 1, 1, 2)
    assert size_counts(np.full((4, 4), 2)).sum() == 0  # ignore regions are no objects
    wide = size_counts(label_of(1, 3, 4, 10, 11), last_px=10, bin_px=3)
    assert wide.tolist() == [2, 1, 0, 2]


def test_numbers_table_and_figure_of_each_section(tmp_path):
    datalist = {
        "training": [{"label": label_of(1, 5)}, {"label": label_of(120)}],
        "validation": [],
        "testing": [{"label": label_of(5)}],
    }
    found = LabelSizes(tmp_path, datalist, lambda item: {"label": item["label"][None]}, progress=False).write()
    assert json.loads((tmp_path / "label_sizes.json").read_text()) == found
    training = found["training"]
    assert (training["images"], training["annotated"]) == (2, 3)
    assert (training["single_px"], training["from_last_px"]) == (1, 1)
    with (tmp_path / "label_sizes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["low_px", "high_px", "training", "validation", "testing"]
    assert rows[4] == {"low_px": "5", "high_px": "6", "training": "1", "validation": "0", "testing": "1"}
    assert rows[-1] == {"low_px": "100", "high_px": "", "training": "1", "validation": "0", "testing": "0"}
    assert np.asarray(Image.open(tmp_path / "label_sizes.png")).std() > 5
    with pytest.raises(ValueError, match="bin_px"):
        LabelSizes(tmp_path, datalist, dict, bin_px=2)
