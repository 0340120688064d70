"""FROC: curve, pAUC, TPR at rates of false positives, and the same of the large MCs; docs/metrics.md, "FROC"."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from scripts.common.checks import check
from scripts.evaluation.cases import HitRule, equivalent_diameter_mm
from scripts.evaluation.figures import band_rates, draw_froc
from scripts.evaluation.froc import CM2, IMAGE
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase, tpr_at_rates
from scripts.evaluation.statistics import interval
from scripts.evaluation.tables import FROC_FIELDS, froc_rows

TPR_AT = {CM2: "tpr_at_fp_per_cm2", IMAGE: "tpr_at_fp_per_image"}
FIGURE = {CM2: "froc.png", IMAGE: "froc_per_image.png"}


@dataclass(frozen=True)
class FrocSection(SectionBase):
    """FROC curve with intervals.

    False positives cannot be told apart by the size of what they are not; so for the large MCs the threshold follows
    from all predictions, and only hits and annotated objects are of the large ones.
    """

    fp_rates_per_cm2: tuple[float, ...] = (0.1, 0.2, 0.4, 1.0)  # FP rates at which TPR is given
    fp_rates_per_image: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    fp_limit_per_cm2: float = 1.0  # pAUC is over 0 to this many; also the end of the figure's axis
    large_mc_mm: float = 0.2  # TPR is also given for objects whose area's circle has at least this diameter
    rule: HitRule = field(default_factory=HitRule)  # that the images were scored with, to be noted

    def __post_init__(self) -> None:
        for name in ("fp_limit_per_cm2", "large_mc_mm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a value above 0")

    def results(self, scored: ScoredSet) -> Results:
        """`froc`, froc.csv, froc.png, froc_per_image.png."""
        rates = {CM2: np.array(self.fp_rates_per_cm2, float), IMAGE: np.array(self.fp_rates_per_image, float)}
        ends = {CM2: self.fp_limit_per_cm2, IMAGE: float(rates[IMAGE].max(initial=1.0))}
        until = {CM2: max(self.fp_limit_per_cm2, *self.fp_rates_per_cm2), IMAGE: ends[IMAGE]}
        curve, paucs, sampled = scored.curve, [], []
        for weights in scored.weights:  # curves are large: one at a time
            sample = scored.table.curve(weights, until)
            paucs.append(sample.pauc(self.fp_limit_per_cm2))
            sampled += [
                (sample.tpr_at(rates[per], per), sample.threshold_at(rates[per], per), sample.tpr_at(band, per))
                for per, band in ((per, band_rates(end)) for per, end in ends.items())
            ]
        pauc = interval(curve.pauc(self.fp_limit_per_cm2), np.array(paucs))
        large = [equivalent_diameter_mm(c.annotations.area_px, c.spacing_mm) >= self.large_mc_mm for c in scored.cases]
        part = scored.table.of_part(scored.cases, large, scored.matching)
        tpr, tpr_large, figures = {}, {}, {}
        caption = f"pAUC {pauc.value:.3f} ({pauc.low:.3f} to {pauc.high:.3f})"
        for place, (per, asked) in enumerate(rates.items()):
            tprs, thresholds, bands = zip(*sampled[place :: len(rates)], strict=True)
            tpr[TPR_AT[per]] = tpr_at_rates(asked, curve.tpr_at(asked, per), np.stack(tprs))
            of_large = np.stack([part.tpr(at, w) for at, w in zip(thresholds, scored.weights, strict=True)])
            tpr_large[TPR_AT[per]] = tpr_at_rates(asked, part.tpr(curve.threshold_at(asked, per)), of_large)
            figures[FIGURE[per]] = partial(
                draw_froc,
                curve=curve,
                sampled=np.stack(bands),
                per=per,
                fp_limit=ends[per],
                operating_index=scored.operating_index,
                title=f"{scored.method}: {len(scored.cases)} images, {int(scored.table.annotated.sum())} MCs",
                note="TPR" if per == IMAGE else "pAUC undefined" if np.isnan(pauc.value) else caption,
            )
        metrics: dict[str, Any] = {
            "matching": scored.matching,
            "hit_distance_mm": self.rule.distance_mm,
            "hit_iou": self.rule.iou,
            "fp_limit_per_cm2": self.fp_limit_per_cm2,
            "pauc": pauc.as_json(),
            **tpr,
            "tpr_large": {"large_mc_mm": self.large_mc_mm, "annotated": int(part.annotated.sum()), **tpr_large},
        }
        return Results({"froc": metrics}, {"froc.csv": (FROC_FIELDS, froc_rows(curve))}, figures)
