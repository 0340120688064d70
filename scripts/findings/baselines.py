"""Objects of the papers' baselines (docs/baselines.md): HDoG alone, grey-level morphology, classified candidates."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from scripts.candidates.dog_discs import draw_discs, peak_differences
from scripts.candidates.hdog import HDoGParameters, hdog
from scripts.candidates.morphology import MorphologyParameters, morphology_objects
from scripts.common.checks import check_fields
from scripts.common.objects import fill_holes, label_objects
from scripts.findings.forming import Scene, ScoredObjects, keep_objects, sigmoid


@dataclass(frozen=True)
class HDoGObjects:
    """HDoG alone: every candidate is an object, scored by its largest difference of Gaussians; holes filled."""

    hdog: HDoGParameters = field(default_factory=HDoGParameters)
    own_threshold: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """See `Objects`."""
        parameters = self.hdog.at(scene.spacing_mm[0])
        labels, _ = label_objects(hdog(scene.image, parameters, scene.within).mask)
        scores = peak_differences(scene.image, labels, parameters)
        return _kept(fill_holes(labels), scores, score_threshold)


@dataclass(frozen=True)
class MorphologyObjects:
    """Ciecholewski 2017: objects by grey-level morphology, scored by their largest difference to a pyramid level."""

    morphology: MorphologyParameters = field(default_factory=MorphologyParameters)
    own_threshold: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """See `Objects`."""
        labels, scores = morphology_objects(scene.image, self.morphology, scene.within)
        return _kept(labels, scores, score_threshold)


@dataclass(frozen=True)
class DiscObjects:
    """Context-sensitive CNN: classified candidates become discs, each with its probability as score.

    The network's output is that of `CandidateInferer`: logits and sigmas (2, rows, cols).
    """

    own_threshold: ClassVar[float | None] = None

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """See `Objects`."""
        if len(scene.logits) != 2:
            raise ValueError(f"pred: got shape {scene.logits.shape}; want [2, rows, cols] of CandidateInferer")
        probability, sigmas = sigmoid(scene.logits[0]), scene.logits[1]
        is_kept = (sigmas > 0) & (probability >= score_threshold) & (True if scene.within is None else scene.within)
        rows, cols = np.nonzero(is_kept)
        scores = probability[is_kept]
        labels = draw_discs(np.stack([rows, cols, sigmas[is_kept]], 1), scores, sigmas.shape, scene.within)
        return _kept(labels, np.concatenate([np.zeros(1, np.float32), scores]), score_threshold)


def _kept(labels: np.ndarray, scores: np.ndarray, score_threshold: float) -> ScoredObjects:
    """The objects of a method without a map: in the map each pixel has its object's score."""
    scores = scores.astype(np.float32)
    scores[0] = 0
    labels = keep_objects(labels, scores, score_threshold).astype(np.int32)
    return ScoredObjects(labels, scores, scores[labels])
