"""FROC: curve, pAUC, TPR at rates of false positives, and the same of the large MCs; docs/metrics.md, "FROC"."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scripts.common.checks import check_fields
from scripts.common.files import write_atomically
from scripts.evaluation.cases import HitRule, equivalent_diameter_mm
from scripts.evaluation.froc import CM2, IMAGE, Froc
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section, tpr_at_rates
from scripts.evaluation.statistics import interval
from scripts.evaluation.tables import FROC_FIELDS, froc_rows

TPR_AT = {CM2: "tpr_at_fp_per_cm2", IMAGE: "tpr_at_fp_per_image"}
FIGURE = {CM2: "froc.png", IMAGE: "froc_per_image.png"}
AXES = {CM2: ("false positives per cm² of breast", "FP/cm²"), IMAGE: ("false positives per image", "FP/image")}
#: Points along the axis of false positives that the bootstrap band is drawn at.
BAND_POINTS = 201


@dataclass(frozen=True)
class FrocSection(Section):
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
        check_fields(self, fp_limit_per_cm2="(0, inf)", large_mc_mm="(0, inf)")

    def results(self, scored: ScoredSet) -> Results:
        """`froc`, froc.csv, froc.png, froc_per_image.png."""
        rates = {CM2: np.array(self.fp_rates_per_cm2, float), IMAGE: np.array(self.fp_rates_per_image, float)}
        ends = {CM2: self.fp_limit_per_cm2, IMAGE: float(rates[IMAGE].max(initial=1.0))}
        until = {CM2: max(self.fp_limit_per_cm2, *self.fp_rates_per_cm2), IMAGE: ends[IMAGE]}
        curve, paucs, sampled = scored.curve, [], []
        for weights in scored.weights:  # curves are large: one at a time
            sample = scored.table.curve(weights, until)
            paucs.append(sample.pauc(self.fp_limit_per_cm2))
            for per, asked in rates.items():
                band = sample.tpr_at(np.linspace(0, ends[per], BAND_POINTS), per)
                sampled.append((sample.tpr_at(asked, per), sample.threshold_at(asked, per), band))
        pauc = interval(curve.pauc(self.fp_limit_per_cm2), np.array(paucs))
        large = [equivalent_diameter_mm(c.annotations.area_px, c.spacing_mm) >= self.large_mc_mm for c in scored.cases]
        part = scored.table.of_part(scored.cases, large, scored.matching)
        tpr, tpr_large, figures = {}, {}, {}
        caption = f"pAUC {pauc.value:.3f} ({pauc.low:.3f} to {pauc.high:.3f})"
        notes = {CM2: "pAUC undefined" if np.isnan(pauc.value) else caption, IMAGE: "TPR"}
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
                note=notes[per],
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


def draw_froc(
    path: str | Path,
    curve: Froc,
    sampled: np.ndarray,
    *,
    per: str = CM2,
    fp_limit: float,
    operating_index: int | None,
    title: str,
    note: str,
) -> Path:
    """Draw a FROC curve, labelled `note` (e.g. its pAUC), with its 95 % bootstrap band and operating point, if any.

    `sampled` (samples, `BAND_POINTS`) is the TPR of each sample at rates from 0 to `fp_limit`, the end of the axis of
    false positives per "cm2" (of breast) or "image"; NaN where not defined. `path` is the PNG file.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    rates, fp, (label, unit) = np.linspace(0, fp_limit, BAND_POINTS), curve.fp_rate(per), AXES[per]
    _, low, high, _ = np.transpose([interval(np.nan, values) for values in sampled.T])
    axes.fill_between(rates, low, high, step="post", alpha=0.25, linewidth=0, label="95 % bootstrap interval")
    end = max(fp_limit, fp[-1])
    axes.step(np.append(fp, end), np.append(curve.tpr, curve.tpr[-1]), where="post", label=note)
    if operating_index is not None:
        x, y = fp[operating_index], curve.tpr[operating_index]
        text = f"threshold {curve.threshold[operating_index]:.3g}: TPR {y:.3f} at {x:.3f} {unit}"
        axes.plot([x], [y], "o", color="black", markersize=5, label=text, clip_on=True)
    axes.set(xlim=(0, fp_limit), ylim=(0, 1.005), title=title, xlabel=label, ylabel="true-positive rate")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))
