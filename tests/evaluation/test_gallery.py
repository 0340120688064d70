"""The picture of failures: which objects are shown, where the window lies, what is refused."""

import numpy as np
import pytest
from PIL import Image

from scripts.evaluation.report.pictures import FAILURES, cut_window, failure_figure, worst


def row(kind, outcome, area=1.0, score="", place=(20, 30), case="a"):
    return {
        "case_id": case,
        "kind": kind,
        "outcome": outcome,
        "area_mm2": str(area),
        "score": str(score),
        "row": str(place[0]),
        "col": str(place[1]),
    }


def missed(area, **options):
    return row("annotated", "missed", area, **options)


def false(score, **options):
    return row("predicted", "false positive", 0.1, score, **options)


@pytest.fixture
def image(tmp_path):
    values = np.full((80, 70), 40, np.uint8)
    values[20, 30] = 200
    Image.fromarray(values).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_only_failures_largest_first_and_ties_by_name():
    rows = [missed(0.2), missed(0.3, case="c"), missed(0.3, case="b"), row("annotated", "hit", 9), false(0.4)]
    rows += [false(0.9), row("predicted", "true positive", 1, 1.0), row("predicted", "ignored", 1, 1.0)]
    found = worst(rows, FAILURES[0], 2)
    assert [(r["case_id"], r["area_mm2"]) for r in found] == [("b", "0.3"), ("c", "0.3")]
    assert [r["score"] for r in worst(rows, FAILURES[1], 8)] == ["0.9", "0.4"]


@pytest.mark.parametrize("centre", [(20, 30), (0, 0), (59, 49)])
def test_the_window_holds_the_place_in_its_middle_even_at_the_edge(centre):
    image = np.full((60, 50), 0.2, np.float32)
    image[centre] = 0.8
    window = cut_window(image, centre, 21)
    assert window.shape == (21, 21) and np.unravel_index(window.argmax(), window.shape) == (10, 10)
    assert window[10, 10] == 1 and window.min() >= 0


def test_a_flat_window_stays_finite():
    assert np.isfinite(cut_window(np.full((60, 50), 0.2, np.float32), (30, 25), 21)).all()


def test_every_failure_has_a_picture_with_its_size_or_score(image):
    rows = [missed(np.pi / 4), *(false(0.9 - i / 10) for i in range(6))]
    parts = failure_figure(rows, {"a": image}, count=5, side_mm=2.0, spacing_mm=0.1).subfigs
    titles = [[axes.get_title(loc="left") for axes in part.axes if axes.images] for part in parts]
    assert titles[0] == ["a: 1.00 mm"]
    assert [title[-4:] for title in titles[1]] == ["0.90", "0.80", "0.70", "0.60", "0.50"]
    shown = parts[0].axes[0].images[0].get_array()
    assert shown.shape == (21, 21) and shown.argmax() == 10 * 21 + 10


def test_a_method_without_failures_of_a_kind_gets_an_empty_part(image, tmp_path):
    figure = failure_figure([missed(1.0)], {"a": image})
    assert not figure.subfigs[1].axes
    figure.savefig(tmp_path / "picture.png")


def test_another_data_list_is_refused():
    with pytest.raises(ValueError, match=r"datalist: got no image b.*want the list that was evaluated"):
        failure_figure([missed(1.0, case="b")], {"a": "a.png"})
