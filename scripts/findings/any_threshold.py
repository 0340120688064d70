"""Objects of every score as the analysis makes them, so that an evaluation can look at each threshold.

A run of the product forms objects, has its `FindingsAnalysis` make large ones whole, join metal, tell kinds and part
touching ones, and shows those of a score above its threshold. What is shown here at a threshold is the same, object for
object, from `typed_from` on (HDoG candidates: unless one lies in the hole of a fainter one). Below it, a run would have
fainter objects take part in all of that; here they are parted only, and those that lie under a stronger one are left
out.
"""

from typing import NamedTuple

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS, METAL
from scripts.common.checks import check
from scripts.common.objects import renumbered
from scripts.common.tensors import Spacing
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.forming import keep_objects


class TypedObjects(NamedTuple):
    """Objects numbered 1..n without gaps."""

    labels: np.ndarray  # int32 (rows, cols), 0 background, else the number
    scores: np.ndarray  # float (n + 1,), by number
    kinds: np.ndarray  # int (n + 1,), by number: place in `KINDS`


def objects_of_any_score(
    analysis: FindingsAnalysis,  # its features and clusters are not needed: leave them out
    image: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    breast: np.ndarray,
    spacing_mm: Spacing,
    typed_from: float = 0.05,  # score of the faintest objects that the product's analysis sees
    side: str = "",
) -> TypedObjects:
    """What a run at any threshold shows, arguments as of `FindingsAnalysis.analyse`.

    Metal that no object touches is left out: no method found it, and it is not counted. ValueError where a part of the
    analysis fails, as its results would be of another method.
    """
    seen = keep_objects(labels, scores, typed_from)
    found = analysis.analyse(image, seen, scores, breast, spacing_mm, side)
    check("analysis", found.failures, not found.failures, "no part that fails")
    touched = np.bincount(found.labels[seen > 0], minlength=len(found.scores)) > 0
    shown = touched | np.array([False, *(mark.kind != METAL for mark in found.kinds)])
    faint, faint_scores = _faint(labels, scores, seen, found.labels)
    if analysis.parting is not None:
        faint, faint_scores = analysis.parting.part(image, faint, faint_scores)[:2]
    individual = KINDS.index(INDIVIDUAL)
    kinds = [individual, *(KINDS.index(mark.kind) for mark in found.kinds), *[individual] * (len(faint_scores) - 1)]
    every = np.where(faint > 0, faint + len(found.kinds), np.where(shown[found.labels], found.labels, 0))
    present = np.unique(np.append(every, 0))
    return TypedObjects(
        *renumbered(every, np.concatenate([found.scores, faint_scores[1:]])), np.array(kinds, np.int32)[present]
    )


def _faint(
    labels: np.ndarray, scores: np.ndarray, seen: np.ndarray, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The objects of `labels` that are not among the `seen`, without those that lie at least half under `taken`."""
    rest = np.where(seen == 0, labels, 0)
    area = np.bincount(rest.ravel(), minlength=len(scores))
    under = np.bincount(rest[taken > 0], minlength=len(scores))
    own = np.where((2 * under < area)[rest] & (taken == 0), rest, 0)
    return renumbered(own, scores)
