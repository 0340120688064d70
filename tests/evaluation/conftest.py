"""Hand-made images: a few squares on a small canvas."""

import numpy as np
import pytest

from scripts.evaluation.cases import score_case
from tests.evaluation.hand_made import EDGE, FAR, NOTE, A, B, evaluated

SPACING = (0.07, 0.07)


@pytest.fixture
def make_case():
    """Build CaseScores from boxes (row, col, height, width): annotated ones, (box, score) predictions, ignored ones."""

    def make(annotated=(), predicted=(), ignored=(), shape=(60, 60), spacing=SPACING, **options):
        label, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
        for r, c, h, w in ignored:
            label[r : r + h, c : c + w] = 2
        for r, c, h, w in annotated:
            label[r : r + h, c : c + w] = 1
        scores = np.zeros(len(predicted) + 1)
        for number, ((r, c, h, w), score) in enumerate(predicted, start=1):
            instances[r : r + h, c : c + w] = number
            scores[number] = score
        breast = options.pop("breast", np.ones(shape, bool))
        return score_case(label, instances, scores, breast, spacing, **options)

    return make


@pytest.fixture
def random_image():
    """A seeded image of annotated squares, scored squares and sometimes an ignore region, scores often equal."""

    def make(seed):
        rng = np.random.default_rng(seed)
        label, instances = np.zeros((24, 28), np.uint8), np.zeros((24, 28), np.int32)

        def box(side):
            r, c = rng.integers(0, 22), rng.integers(0, 26)
            return np.s_[r : r + rng.integers(1, side), c : c + rng.integers(1, side)]

        if rng.random() < 0.4:
            label[box(14)] = 2
        for _ in range(rng.integers(0, 6)):
            label[box(4)] = 1
        numbers = rng.permutation(12) + 1
        for number in numbers[: rng.integers(0, 9)]:
            instances[box(5)] = number
        scores = rng.integers(0, 6, 13) / 8
        return label, instances, scores, (0.07, 0.09) if rng.random() < 0.3 else SPACING

    return make


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """`good` hits both MCs (B in all images but the last); `bad` hits A alone, below a false mark of high score."""
    root = tmp_path_factory.mktemp("evaluations")
    evaluated(
        root / "good", "good | method", lambda i: {A: 0.9, FAR: 0.1} | ({B: 0.8 - i / 100} if i < 5 else {}), note=NOTE
    )
    evaluated(root / "bad", "bad", lambda i: {A: 0.6, FAR: 0.95, EDGE: 0.7 - i / 100})
    return root / "good", root / "bad"
