"""From scored objects to findings: measured marks, their kinds and features, the clusters they form."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL
from scripts.common.objects import Microcalcification, measure_objects
from scripts.common.tensors import Spacing
from scripts.findings.cluster_findings import ClusterAnalysis, ClusterFinding
from scripts.findings.clusters.distribution import Breast, nipple_estimate_mm
from scripts.findings.features.microcalcifications import FeatureRecord, MCFeatures, records_of
from scripts.findings.forming import keep_objects
from scripts.findings.kinds.rules import KindRules, MarkKind
from scripts.findings.kinds.vascular import Artery
from scripts.findings.splitting import Parting, Wholes


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

    @property
    def counted(self) -> list[Microcalcification]:
        """The marks that are microcalcifications (MCs) of the count, the clusters and the mask."""
        return [mark for mark, counts in zip(self.marks, self.is_counted, strict=True) if counts]

    @property
    def mask(self) -> np.ndarray:
        """bool (rows, cols): the counted marks."""
        return np.concatenate([[False], self.is_counted])[self.labels]


@dataclass(frozen=True)
class FindingsAnalysis:
    """What is made of an image's objects; None leaves a part out."""

    kinds: KindRules | None = field(default_factory=KindRules)
    features: MCFeatures | None = field(default_factory=MCFeatures)
    clusters: ClusterAnalysis | None = field(default_factory=ClusterAnalysis)
    parting: Parting | None = None  # of touching MCs, first of all
    wholes: Wholes | None = None  # large calcifications whole and filled, next

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
        if self.parting is not None:
            labels, scores = self.parting.part(labels, scores)
        if self.wholes is not None:
            labels, scores = self.wholes.make(image, labels, scores, spacing_mm)
        if self.kinds is not None:
            labels, scores = self.kinds.join(image, labels, scores, breast, spacing_mm)
        labels, scores = renumbered(labels, scores)
        kinds = [MarkKind(INDIVIDUAL, "kinds are not told apart")] * (len(scores) - 1)
        arteries: list[Artery] = []
        if self.kinds is not None:
            every = measure_objects(labels, scores, spacing_mm)
            kinds, arteries = self.kinds.kinds(image, labels, every, breast, spacing_mm, side)
        kept = np.flatnonzero(scores[1:] >= score_threshold) + 1
        if kept.size < len(kinds):
            labels, scores = renumbered(keep_objects(labels, scores, score_threshold), scores)
            kinds, arteries = [kinds[number - 1] for number in kept], _of_kept(arteries, kept)
        marks = measure_objects(labels, scores, spacing_mm)
        is_counted = np.ones(len(marks), bool) if self.kinds is None else self.kinds.counted(kinds)
        values = None if self.features is None else self.features.measure(labels, image, spacing_mm)
        records = None if values is None else records_of(values)
        place = _breast(breast, spacing_mm)
        found = Findings(labels, scores, marks, kinds, is_counted, records, [], arteries, place.nipple_mm)
        if self.clusters is not None:
            own = {} if values is None else {name: value[is_counted] for name, value in values.items()}
            found.clusters.extend(self.clusters.analyse(found.counted, own, spacing_mm, place))
        return found


def renumbered(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same objects numbered 1..k without gaps, as `measure_objects` does: int32 labels and scores (k + 1,)."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1
    numbers = np.zeros(max(labels.max(initial=0), 0) + 1, np.int32)
    numbers[present] = np.arange(1, present.size + 1)
    return numbers[labels], np.concatenate([[0], np.asarray(scores)[present]])


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
