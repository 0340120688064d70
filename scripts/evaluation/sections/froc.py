"""FROC: curve, pAUC, TPR at rates of false positives, and the same of the large MCs; docs/metrics.md, "FROC"."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from scripts.evaluation.cases import HitRule
from scripts.evaluation.figures import band_rates, draw_froc
from scripts.evaluation.froc import CM2, IMAGE, Froc
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase, tpr_at_rates
from scripts.evaluation.statistics import Interval, interval
from scripts.evaluation.strata import equivalent_diameter_mm
from scripts.evaluation.tables import FROC_FIELDS, froc_rows

TPR_AT = {CM2: "tpr_at_fp_per_cm2", IMAGE: "tpr_at_fp_per_image"}
FIGURE = {CM2: "froc.png", IMAGE: "froc_per_image.png"}


@dataclass(frozen=True)
class FrocSection(SectionBase):
    """FROC curve with intervals.

    False positives cannot be told apart by the size of what they are not; so for the large MCs the threshold follows
    from all predictions, and only hits and annotated objects are of the large ones.

    Attributes:
        fp_rates_per_cm2, fp_rates_per_image: FP rates at which TPR is given.
        fp_limit_per_cm2: pAUC is over 0 to this many FP per cm^2; also the end of the figure's axis.
        large_mc_mm: TPR is also given for objects whose area's circle has at least this diameter, mm.
        rule: the hit rule that the images were scored with, to be noted.
    """

    fp_rates_per_cm2: tuple[float, ...] = (0.1, 0.2, 0.4, 1.0)
    fp_rates_per_image: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    fp_limit_per_cm2: float = 1.0
    large_mc_mm: float = 0.2
    rule: HitRule = field(default_factory=HitRule)

    def __post_init__(self) -> None:
        for name in ("fp_limit_per_cm2", "large_mc_mm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, want a value above 0")

    def results(self, scored: ScoredSet) -> Results:
        """`froc`, froc.csv, froc.png, froc_per_image.png."""
        rates = {CM2: np.array(self.fp_rates_per_cm2, float), IMAGE: np.array(self.fp_rates_per_image, float)}
        ends = {CM2: self.fp_limit_per_cm2, IMAGE: float(rates[IMAGE].max(initial=1.0))}
        until = {CM2: max(self.fp_limit_per_cm2, *self.fp_rates_per_cm2), IMAGE: ends[IMAGE]}
        pauc: list[float] = []
        tpr: dict[str, list[np.ndarray]] = {per: [] for per in rates}
        thresholds: dict[str, list[np.ndarray]] = {per: [] for per in rates}
        band: dict[str, list[np.ndarray]] = {per: [] for per in rates}
        for weights in scored.weights:  # curves are large: one at a time
            sample = scored.table.curve(weights, until)
            pauc.append(sample.pauc(self.fp_limit_per_cm2))
            for per, asked in rates.items():
                tpr[per].append(sample.tpr_at(asked, per))
                thresholds[per].append(sample.threshold_at(asked, per))
                band[per].append(sample.tpr_at(band_rates(ends[per]), per))
        area = interval(scored.curve.pauc(self.fp_limit_per_cm2), np.array(pauc))
        large = [
            equivalent_diameter_mm(case.annotations.area_px, case.spacing_mm) >= self.large_mc_mm
            for case in scored.cases
        ]
        table = scored.table.of_part(scored.cases, large, scored.matching)
        part: dict[str, Any] = {"large_mc_mm": self.large_mc_mm, "annotated": int(table.annotated.sum())}
        for per, asked in rates.items():
            values = [table.tpr(at, w) for at, w in zip(thresholds[per], scored.weights, strict=True)]
            part[TPR_AT[per]] = tpr_at_rates(asked, table.tpr(scored.curve.threshold_at(asked, per)), np.stack(values))
        metrics = {
            "matching": scored.matching,
            "hit_distance_mm": self.rule.distance_mm,
            "hit_iou": self.rule.iou,
            "fp_limit_per_cm2": self.fp_limit_per_cm2,
            "pauc": area.as_json(),
            **{
                TPR_AT[per]: tpr_at_rates(asked, scored.curve.tpr_at(asked, per), np.stack(tpr[per]))
                for per, asked in rates.items()
            },
            "tpr_large": part,
        }
        title = f"{scored.method}: {len(scored.cases)} images, {int(scored.table.annotated.sum())} MCs"
        figures = {
            FIGURE[per]: partial(
                draw_froc,
                curve=scored.curve,
                sampled=np.stack(band[per]),
                per=per,
                fp_limit=ends[per],
                operating_index=scored.operating_index,
                title=title,
                note=_caption(area) if per == CM2 else "TPR",
            )
            for per in rates
        }
        return Results({"froc": metrics}, {"froc.csv": curve_table(scored.curve)}, figures)


def curve_table(curve: Froc) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Columns and rows of a curve's CSV file."""
    return FROC_FIELDS, froc_rows(curve)


def _caption(pauc: Interval) -> str:
    if np.isnan(pauc.value):
        return "pAUC undefined"
    return f"pAUC {pauc.value:.3f} ({pauc.low:.3f} to {pauc.high:.3f})"
