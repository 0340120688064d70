"""Objects of every score as the analysis makes them, so that an evaluation can look at each threshold.

A run of the product forms objects, has its `FindingsAnalysis` make large ones whole, join metal, tell kinds and part
touching ones, and shows those of a score above its threshold. For a threshold of `typed_from` or more what is shown here
is the same, object for object. Fainter objects are only parted (the product drops them, unless its threshold is lower).
"""

from typing import NamedTuple

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS
from scripts.common.checks import check
from scripts.common.tensors import Spacing
from scripts.findings.analysis import FindingsAnalysis, renumbered
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

    Metal that no object touches is left out: it is excluded, and no network found it. ValueError where a part of the
    analysis fails, as its results would be of another method.
    """
    seen = keep_objects(labels, scores, typed_from)
    found = analysis.analyse(image, seen, scores, breast, spacing_mm, side)
    check("analysis", found.failures, not found.failures, "no part that fails")
    marked = np.unique(found.labels[seen > 0])
    typed = np.where(np.isin(found.labels, marked), found.labels, 0)
    rest, rest_scores = renumbered(np.where((found.labels == 0) & (seen == 0), labels, 0), scores)
    if analysis.parting is not None:
        rest, rest_scores = analysis.parting.part(rest, rest_scores)
    first = len(found.scores) - 1
    kinds = [KINDS.index(INDIVIDUAL), *(KINDS.index(mark.kind) for mark in found.kinds)]
    kinds += [KINDS.index(INDIVIDUAL)] * (len(rest_scores) - 1)
    every = np.concatenate([found.scores, rest_scores[1:]])
    numbered = np.where(rest > 0, rest + first, typed)
    present = np.flatnonzero(np.bincount(numbered.ravel(), minlength=1)[1:]) + 1
    final, kept = renumbered(numbered, every)
    return TypedObjects(final, kept, np.array(kinds)[np.concatenate([[0], present])])
