"""From scored objects to findings: measured marks, their kinds and features, the clusters they form."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL
from scripts.common.errors import one_line
from scripts.common.objects import Microcalcification, measure_objects, object_pixels, renumbered
from scripts.common.tensors import Spacing
from scripts.findings.cluster_findings import ClusterAnalysis, ClusterFinding
from scripts.findings.clusters.distribution import Breast, nipple_estimate_mm
from scripts.findings.features.microcalcifications import FeatureRecord, MCFeatures, records_of
from scripts.findings.kinds.rules import KindRules, MarkKind, ToldMarks
from scripts.findings.kinds.vascular import Artery
from scripts.findings.parting import CentreParting
from scripts.findings.wholes import Wholes

logger = logging.getLogger(__name__)
Made = TypeVar("Made")


@dataclass(frozen=True)
class Findings:
    """What is known of an image's marks; lists are in the order of `marks`."""

    labels: np.ndarray  # int32 (rows, cols), 0 background, else the id of the mark
    scores: np.ndarray  # float (n + 1,), index = id
    marks: list[Microcalcification]
    kinds: list[MarkKind]
    is_counted: np.ndarray  # bool (n,): of no excluded kind
    features: list[FeatureRecord] | None  # None: not measured
    clusters: list[ClusterFinding]  # of counted marks
    arteries: list[Artery]
    nipple_mm: tuple[float, float] | None = None  # (y, x), estimated
    failures: dict[str, str] = field(default_factory=dict)  # part of `FindingsAnalysis` that failed -> reason

    @property
    def counted(self) -> list[Microcalcification]:
        """The marks that are microcalcifications (MCs) of the count, the clusters and the mask."""
        return [mark for mark, counts in zip(self.marks, self.is_counted, strict=True) if counts]

    @property
    def mask(self) -> np.ndarray:
        """bool (rows, cols): the counted marks."""
        pixels, mask = object_pixels(self.labels), np.zeros(self.labels.shape, bool)
        mask.ravel()[pixels] = self.is_counted[self.labels.ravel()[pixels] - 1]
        return mask


@dataclass(frozen=True)
class FindingsAnalysis:
    """What is made of an image's objects; None leaves a part out.

    A part that fails takes nothing else along: the marks stay, and `Findings.failures` tells it. Where the kinds fail,
    every mark is counted; where the clusters fail there are none.
    """

    kinds: KindRules | None = field(default_factory=KindRules)
    features: MCFeatures | None = field(default_factory=MCFeatures)
    clusters: ClusterAnalysis | None = field(default_factory=ClusterAnalysis)
    parting: CentreParting | None = field(default_factory=CentreParting)  # of touching individual MCs, kinds known
    wholes: Wholes | None = field(default_factory=Wholes)  # large calcifications whole and filled, first of all

    def analyse(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        breast: np.ndarray,
        spacing_mm: Spacing,
        side: str = "",
        score_threshold: float = 0.0,
    ) -> Findings:
        """Findings of objects, int (rows, cols), 0 background, numbers with gaps, and their scores (n + 1,) by number.

        The image is float32 (rows, cols) in [0, 1], the breast bool; `side` is the laterality, "" where unknown.
        Objects below `score_threshold` help to tell the kinds of the others and are dropped then.
        """
        failures: dict[str, str] = {}
        if (wholes := self.wholes) is not None:
            given = labels, scores
            labels, scores = attempted("wholes", failures, lambda: wholes.make(image, *given, spacing_mm), given)
        objects = labels, scores
        told = None
        if (rules := self.kinds) is not None:
            told = attempted("kinds", failures, lambda: rules.tell(image, *objects, breast, spacing_mm, side), told)
        if told is None:
            failed = f"kinds could not be told apart: {failures['kinds']}" if failures.get("kinds") else ""
            apart = renumbered(*objects)
            reason = MarkKind(INDIVIDUAL, failed or "kinds are not told apart")
            told = ToldMarks(*apart, [reason] * (len(apart[1]) - 1), [])
        labels, scores, kinds, arteries = told
        kept = np.flatnonzero(scores[1:] >= score_threshold) + 1
        if kept.size < len(kinds):
            labels, scores = renumbered(labels, scores, score_threshold)
            kinds, arteries = [kinds[number - 1] for number in kept], _of_kept(arteries, kept)
        if (parting := self.parting) is not None:
            whole = labels, scores, kinds
            labels, scores, kinds = attempted("parting", failures, lambda: _parted(parting, image, *whole), whole)
        marks = measure_objects(labels, scores, spacing_mm)
        is_counted = np.ones(len(marks), bool) if rules is None or "kinds" in failures else rules.counted(kinds)
        values, final = None, labels
        if (features := self.features) is not None:
            values = attempted("features", failures, lambda: features.measure(final, image, spacing_mm), None)
        records = None if values is None else records_of(values)
        place = _breast(breast, spacing_mm)
        found = Findings(labels, scores, marks, kinds, is_counted, records, [], arteries, place.nipple_mm, failures)
        if (clusters := self.clusters) is not None:
            own = {} if values is None else {name: value[is_counted] for name, value in values.items()}
            none: list[ClusterFinding] = []
            made = attempted(
                "clusters", failures, lambda: clusters.analyse(found.counted, own, spacing_mm, place), none
            )
            found.clusters.extend(made)
        return found


def attempted(name: str, failures: dict[str, str], make: Callable[[], Made], otherwise: Made) -> Made:
    """What `make` gives; where it fails `otherwise`, and the reason under `name` in `failures`."""
    try:
        return make()
    except Exception as error:
        failures[name] = one_line(f"{type(error).__name__}: {error}")
        logger.debug("%s failed", name, exc_info=True)
        return otherwise


def _parted(
    parting: CentreParting, image: np.ndarray, labels: np.ndarray, scores: np.ndarray, kinds: Sequence[MarkKind]
) -> tuple[np.ndarray, np.ndarray, list[MarkKind]]:
    """Marks numbered 1..n, their scores and kinds, with individual MCs parted: parts have the kind of the whole.

    Parted before kinds are told, pieces would look like a chain, and large calcifications would come in pieces.
    """
    individual = {number for number, mark in enumerate(kinds, start=1) if mark.kind == INDIVIDUAL}
    labels, scores, origins = parting.part(image, labels, scores, individual)
    return labels, scores, [*kinds, *(kinds[number - 1] for number in origins)]


def _of_kept(arteries: Sequence[Artery], kept: np.ndarray) -> list[Artery]:
    """Arteries with the new ids of the marks that are kept (old ids, ascending); without those that lost all."""
    new = {old: number for number, old in enumerate(kept.tolist(), start=1)}
    members = [tuple(new[old] for old in artery.members if old in new) for artery in arteries]
    return [replace(artery, members=own) for artery, own in zip(arteries, members, strict=True) if own]


def kinds_counted(kinds: Sequence[MarkKind]) -> dict[str, int]:
    """{kind: number of marks}, in the order of first appearance."""
    names = [mark.kind for mark in kinds]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _breast(breast: np.ndarray, spacing_mm: Spacing) -> Breast:
    area_cm2 = float(breast.sum()) * spacing_mm[0] * spacing_mm[1] / 100
    return Breast(area_cm2 or None, nipple_estimate_mm(breast, spacing_mm))
