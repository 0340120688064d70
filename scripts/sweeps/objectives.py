"""What the sweeps over thresholds try: HDoG's parameters on images, and the combining on kept maps."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
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
from scripts.sweeps.sweep import Note, Outcome, SkipTrialError

HDOG_FIELDS = [field.name for field in fields(HDoGParameters) if field.name != "reference_spacing_mm"]
NEAREST, PAUC = "nearest", "pauc"


class HDoGObjective:
    """IoU per object of the candidates, to be maximised while TPR stays above a limit (paper, section IV-B).

    Candidates are scored as the evaluation scores objects: within the eroded breast, holes filled. No network.

    Args:
        cases: the images.
        hdog: the detector, with the values of those parameters that are not searched.
        min_tpr: TPR must be higher.
        rule, matching: hit rule and matching of the evaluation.
    """

    direction: Direction = "maximize"

    def __init__(
        self,
        cases: ImageArrays,
        hdog: HDoGParameters | None = None,
        min_tpr: float = 0.9,
        rule: HitRule | None = None,
        matching: str = GREEDY,
    ) -> None:
        self.cases, self.hdog, self.min_tpr = cases, hdog or HDoGParameters(), min_tpr
        self.rule, self.matching = rule or HitRule(), matching

    def prepare(self) -> None:
        """Read the images."""
        self.cases.fill()

    def first(self, keys: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """The detector's own values."""
        return [{key: getattr(self.hdog, _field(key)) for key in keys}]

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """Find and score the candidates of every image; keys end in fields of `HDoGParameters`."""
        values = {_field(key): float(value) for key, value in parameters.items()}
        try:
            detector = replace(self.hdog, **values)
        except ValueError as error:
            raise SkipTrialError(str(error)) from error
        scored = []
        for number, (item, arrays) in enumerate(self.cases):
            note(f"image {number + 1} of {len(self.cases.items)}")
            parameters_px = detector.at(float(arrays["spacing_mm"][0]))
            mask = hdog(arrays["image"], parameters_px, arrays["breast_inner"]).mask
            scored.append(_scored(mask, np.ones(mask.shape, np.float32), 0.0, item, arrays, self.rule))
        totals = candidate_figures(scored, self.matching)
        if totals["tpr"] is None or totals["iou_per_object"] is None:
            raise ValueError("images: got no annotated object larger than 1 px; want individually labelled MCs")
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
        fp_limit: end of the pAUC, FP per cm^2.
        rule, matching: hit rule and matching of the evaluation.
    """

    def __init__(
        self,
        cases: CaseArrays,
        criterion: str = NEAREST,
        fp_limit: float = 1.0,
        rule: HitRule | None = None,
        matching: str = GREEDY,
    ) -> None:
        if criterion not in (NEAREST, PAUC):
            raise ValueError(f"criterion: got {criterion!r}; want {NEAREST!r} or {PAUC!r}")
        self.cases, self.criterion, self.fp_limit = cases, criterion, fp_limit
        self.rule, self.matching = rule or HitRule(), matching
        self.direction: Direction = "minimize" if criterion == NEAREST else "maximize"

    def prepare(self) -> None:
        """Check that the maps are there.

        Raises:
            ValueError: one is missing.
        """
        if missing := self.cases.missing():
            raise ValueError(f"{missing[0]['image']}: got no map; want MapArrays.fill to be run before")

    def first(self, keys: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """Nothing."""
        return ()

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """Combine at one o_thr and read the FROC curve."""
        if [key.rpartition("::")[2] for key in parameters] != ["overlap_fraction"]:
            raise ValueError(f"space: got {sorted(parameters)}; want overlap_fraction alone (p_thr is read off)")
        (overlap_fraction,) = map(float, parameters.values())
        scored = []
        for item, arrays in self.cases:
            proximity = np.zeros(arrays["candidates"].shape, np.float32)
            proximity[arrays["candidates"]] = arrays["map"]
            scored.append(_scored(arrays["candidates"], proximity, overlap_fraction, item, arrays, self.rule))
        curve = FrocTable(scored, self.matching).curve()
        index = curve.nearest_to_ideal()
        if index is None:
            raise ValueError("images: got no candidates, annotated MCs or breast area; want a labelled part")
        tpr, fp = float(curve.tpr[index]), float(curve.fp_per_cm2[index])
        threshold, distance = float(curve.threshold[index]), float(np.hypot(fp, 1 - tpr))
        pauc = curve.pauc(self.fp_limit)
        objects = np.concatenate([iou_per_object(case, threshold) for case in scored])
        with_mc = [case for case in scored if len(case.annotations)]
        values = {
            "score_threshold": threshold,
            "tpr": tpr,
            "fp_per_cm2": fp,
            "distance": distance,
            "pauc": pauc,
            "iou_per_object": float(objects.mean()) if objects.size else None,
            "mean_iou_per_image": float(np.mean([iou_per_image(case, threshold).mean for case in with_mc])),
        }
        value = distance if self.criterion == NEAREST else pauc
        return Outcome(value, values, overlay={"score_threshold": threshold})


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
    labels, scores = combine(candidates, proximity, score_threshold=0.0, overlap_fraction=overlap_fraction)
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


def _field(key: str) -> str:
    name = key.rpartition("::")[2]
    if name not in HDOG_FIELDS:
        raise ValueError(f"space: got {key}; want keys that end in one of {HDOG_FIELDS}")
    return name
