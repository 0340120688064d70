"""What the sweeps over thresholds try: HDoG's parameters on images, and the combining on kept maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scripts.candidates.hdog import HDoGParameters, hdog
from scripts.evaluation.cases import CaseScores, HitRule, score_case
from scripts.evaluation.froc import FrocTable
from scripts.evaluation.iou import iou_per_image, iou_per_object
from scripts.evaluation.matching import GREEDY, match
from scripts.findings.combining import combine
from scripts.sweeps.cases import CaseArrays, ImageArrays
from scripts.sweeps.storage import Direction
from scripts.sweeps.sweep import Note, Outcome, SkipTrial

HDOG_KEYS = {
    "sigma_min_px": "sigma_min_px",
    "sigma_max_px": "sigma_max_px",
    "sigma_ratio": "sigma_ratio",
    "dog_threshold": "dog_threshold",
    "blob_overlap": "blob_overlap",
    "hessian_threshold": "hessian_threshold",
}
NEAREST, PAUC = "nearest", "pauc"


class HDoGObjective:
    """IoU per object of the candidates, to be maximised while TPR stays above a limit (paper, section IV-B).

    Candidates are scored as the evaluation scores objects: within the eroded breast, holes filled. No network.

    Args:
        cases: the images.
        parameters: HDoG's config keys with the values of those that are not searched.
        reference_spacing_mm: pixel size that lengths are given at; 0 takes them as px of the image.
        min_tpr: TPR must be higher.
        distance_mm, iou, matching: hit rule and matching of the evaluation.
    """

    direction: Direction = "maximize"

    def __init__(
        self,
        cases: ImageArrays,
        parameters: Mapping[str, float],
        reference_spacing_mm: float = 0.07,
        min_tpr: float = 0.9,
        distance_mm: float = 0.35,
        iou: float = 0.3,
        matching: str = GREEDY,
    ) -> None:
        _check_keys(parameters)
        self.cases, self.parameters, self.min_tpr = cases, dict(parameters), min_tpr
        self.reference_spacing_mm, self.rule, self.matching = reference_spacing_mm, HitRule(distance_mm, iou), matching
        self.settings = {
            "fixed": self.parameters,
            "reference_spacing_mm": reference_spacing_mm,
            "min_tpr": min_tpr,
            "hit": [distance_mm, iou, matching],
            "images": [cases.path(item).stem for item in cases.items],
        }

    def prepare(self) -> None:
        """Read the images."""
        self.cases.fill()

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """Find and score the candidates of every image."""
        _check_keys(parameters)
        values = {HDOG_KEYS[key]: float(value) for key, value in {**self.parameters, **parameters}.items()}
        try:
            chosen = HDoGParameters(**values, reference_spacing_mm=self.reference_spacing_mm)
        except ValueError as error:
            raise SkipTrial(str(error)) from error
        scored = []
        for number, (item, arrays) in enumerate(self.cases):
            note(f"image {number + 1} of {len(self.cases.items)}")
            found = hdog(arrays["image"], chosen.at(float(arrays["spacing_mm"][0])), arrays["breast_inner"]).mask
            scored.append(_scored(found, np.ones(found.shape, np.float32), 0.0, item, arrays, self.rule))
        totals = candidate_figures(scored, self.matching)
        if totals["tpr"] is None or totals["iou_per_object"] is None:
            raise ValueError("no annotated object larger than 1 px: want a part with individually labelled MCs")
        # an equal TPR breaks the limit, too: the constraint is kept when the violation is <= 0
        violation = self.min_tpr - totals["tpr"] + 1e-12
        return Outcome(totals["iou_per_object"], totals, {"tpr": violation})


class CombiningObjective:
    """p_thr and o_thr of the combining, on maps that the network made once.

    Only o_thr is tried: for each one an object's score is the highest p_thr at which it is kept, so a single FROC curve
    holds every p_thr there is, and the best one is read from it.

    Args:
        cases: candidates and maps.
        criterion: "nearest": distance of the nearest point of the FROC curve to (0 FP per cm^2, TPR 1), to be
            minimised (the paper's rule); "pauc": area under the curve, to be maximised, p_thr then by that rule.
        objects_from: whose map was kept, as in `CombineCandidatesd`: "candidates" or "scored".
        fp_limit: end of the pAUC, FP per cm^2.
        distance_mm, iou, matching: hit rule and matching of the evaluation.
    """

    def __init__(
        self,
        cases: CaseArrays,
        criterion: str = NEAREST,
        objects_from: str = "candidates",
        fp_limit: float = 1.0,
        distance_mm: float = 0.35,
        iou: float = 0.3,
        matching: str = GREEDY,
    ) -> None:
        if criterion not in (NEAREST, PAUC):
            raise ValueError(f"criterion: got {criterion!r}, want {NEAREST!r} or {PAUC!r}")
        if objects_from not in ("candidates", "scored"):  # others have no overlap fraction
            raise ValueError(f"objects_from: got {objects_from!r}, want 'candidates' or 'scored'")
        self.objects_from = objects_from
        self.cases, self.criterion, self.fp_limit = cases, criterion, fp_limit
        self.rule, self.matching = HitRule(distance_mm, iou), matching
        self.direction: Direction = "minimize" if criterion == NEAREST else "maximize"
        self.settings = {
            "criterion": criterion,
            "objects_from": objects_from,
            "fp_limit": fp_limit,
            "hit": [distance_mm, iou, matching],
            "images": [cases.path(item).stem for item in cases.items],
        }

    def prepare(self) -> None:
        """Check that the maps are there.

        Raises:
            ValueError: one is missing.
        """
        if missing := self.cases.missing():
            raise ValueError(f"{missing[0]['image']}: found no map; want CaseArrays.fill to be run before")

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """Combine at one o_thr and read the FROC curve."""
        if set(parameters) != {"overlap_fraction"}:
            raise ValueError(f"space: found {sorted(parameters)}; wanted overlap_fraction alone (p_thr is read off)")
        scored = []
        for item, arrays in self.cases:
            proximity = np.zeros(arrays["candidates"].shape, np.float32)
            proximity[arrays["candidates"]] = arrays["map"]
            overlap = float(parameters["overlap_fraction"])
            scored.append(_scored(arrays["candidates"], proximity, overlap, item, arrays, self.rule))
        curve = FrocTable(scored, self.matching).curve()
        index = curve.nearest_to_ideal()
        if index is None:
            raise ValueError("no candidates, annotated MCs or breast area: want a labelled part")
        tpr, fp = float(curve.tpr[index]), float(curve.fp_per_cm2[index])
        threshold, distance, pauc = (
            float(curve.threshold[index]),
            float(np.hypot(fp, 1 - tpr)),
            curve.pauc(self.fp_limit),
        )
        objects = np.concatenate([iou_per_object(case, threshold) for case in scored])
        with_mc = [case for case in scored if len(case.annotations)]
        values = {
            "proximity_threshold": threshold,
            "tpr": tpr,
            "fp_per_cm2": fp,
            "distance": distance,
            "pauc": pauc,
            "iou_per_object": float(objects.mean()) if objects.size else None,
            "mean_iou_per_image": float(np.mean([iou_per_image(case, threshold).mean for case in with_mc])),
        }
        value = distance if self.criterion == NEAREST else pauc
        return Outcome(value, values, overlay={"score_threshold": threshold, "objects_from": self.objects_from})


def candidate_figures(cases: Iterable[CaseScores], matching: str) -> dict[str, float | None]:
    """TPR, FP per cm^2, IoU per object and number of candidates, all predictions taking part, pooled over images."""
    hits = annotated = predicted = 0
    area, ious = 0.0, [np.zeros(0)]
    for case in cases:
        hits += int((match(case, -np.inf, matching) >= 0).sum())
        annotated += len(case.annotations)
        predicted += int(case.predictions.kept(-np.inf).sum())
        area += case.breast_cm2
        ious.append(iou_per_object(case, -np.inf))
    values = np.concatenate(ious)
    return {
        "iou_per_object": float(values.mean()) if values.size else None,
        "tpr": hits / annotated if annotated else None,
        "fp_per_cm2": (predicted - hits) / area if area else None,
        "candidates": predicted,
    }


def _scored(
    candidates: np.ndarray,
    proximity: np.ndarray,
    overlap_fraction: float,
    item: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    rule: HitRule,
) -> CaseScores:
    labels, scores = combine(candidates, proximity, proximity_threshold=0.0, overlap_fraction=overlap_fraction)
    row_mm, col_mm = (float(value) for value in arrays["spacing_mm"])
    name = str(item.get("image_id") or item["image"])
    return score_case(
        label=arrays["label"],
        instances=labels,
        scores=scores,
        breast=arrays["breast"],
        spacing_mm=(row_mm, col_mm),
        rule=rule,
        case_id=name,
        patient=str(item.get("patient") or name),
    )


def _check_keys(parameters: Mapping[str, Any]) -> None:
    unknown = sorted(set(parameters) - set(HDOG_KEYS))
    if unknown:
        raise ValueError(f"space: found {unknown}; wanted some of {sorted(HDOG_KEYS)}")
