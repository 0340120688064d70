"""Results by kind of calcification: marks of each kind, and FROC with all of them and without the excluded ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scripts.common.calcification_kinds import EXCLUDED, KINDS
from scripts.common.checks import check, check_fields
from scripts.evaluation.cases import CaseLevels, CaseScores, Pairs
from scripts.evaluation.froc import CM2, FrocTable
from scripts.evaluation.mark_kinds import KIND
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section, tpr_at_rates
from scripts.evaluation.statistics import interval, ratio_interval
from scripts.evaluation.tables import FROC_FIELDS, froc_rows

KIND_FIELDS = ("kind", "excluded", "marks", "true_positives", "false_positives", "fp_per_cm2")


@dataclass(frozen=True)
class KindSection(Section):
    """Marks by their kind at the operating threshold, and FROC without the kinds that are no MCs."""

    exclude_kinds: tuple[str, ...] = EXCLUDED
    fp_limit_per_cm2: float = 1.0  # pAUC is over 0 to this many
    fp_rates_per_cm2: tuple[float, ...] = (0.1, 0.2, 0.4, 1.0)  # FP rates at which TPR is given

    def __post_init__(self) -> None:
        check_fields(self, fp_limit_per_cm2="(0, inf)")
        for kind in self.exclude_kinds:
            check("exclude_kinds", kind, kind in KINDS, f"some of {', '.join(KINDS)}")

    @property
    def needs(self) -> Sequence[str]:
        """Names of the measured values that it reads."""
        return (KIND,)

    def results(self, scored: ScoredSet) -> Results:
        """`kinds`, kinds.csv, kinds_froc.csv (without the excluded kinds).

        `kinds` is {"exclude_kinds", "by_kind": {kind: counts, "fp_per_cm2"}, "mcs_excluded": share of the MCs that are
        hit which are hit by a mark of an excluded kind, "all_marks" and "without_excluded": pAUC and TPR}.
        """
        by_kind = {kind: self._counts(scored, place) for place, kind in enumerate(KINDS)}
        lost, hit = np.array([self._lost(scored, image) for image in range(len(scored.cases))]).reshape(-1, 2).T
        table = FrocTable([self.without_excluded(case) for case in scored.cases], scored.matching)
        metrics: dict[str, Any] = {
            "exclude_kinds": list(self.exclude_kinds),
            "fp_limit_per_cm2": self.fp_limit_per_cm2,
            "by_kind": by_kind,
            "mcs_excluded": ratio_interval(lost, hit, scored.weights).as_json(),
            "all_marks": self._curve(scored.table, scored.weights),
            "without_excluded": self._curve(table, scored.weights),
        }
        rows = [
            {
                "kind": kind,
                "excluded": kind in self.exclude_kinds,
                **counts,
                "fp_per_cm2": counts["fp_per_cm2"]["value"],
            }
            for kind, counts in by_kind.items()
        ]
        curves = {"kinds.csv": (KIND_FIELDS, rows), "kinds_froc.csv": (FROC_FIELDS, froc_rows(table.curve()))}
        return Results({"kinds": metrics}, curves)

    def without_excluded(self, case: CaseScores) -> CaseScores:
        """The image without its predictions of an excluded kind: they count nowhere."""
        drop = np.isin(case.prediction_values[KIND], [KINDS.index(kind) for kind in self.exclude_kinds])
        keep = ~drop[case.pairs.prediction]
        pairs = Pairs(*(getattr(case.pairs, name)[keep] for name in Pairs.__dataclass_fields__))
        ignored = case.predictions.ignored | drop
        kept = replace(case.predictions, ignored=ignored)
        if isinstance(case, CaseLevels):
            levels = tuple(map(self.without_excluded, case.levels))
            return replace(case, predictions=kept, pairs=pairs, levels=levels)
        return replace(case, predictions=kept, pairs=pairs)

    def _counts(self, scored: ScoredSet, place: int) -> dict[str, Any]:
        """Marks of one kind at the operating threshold."""
        of_kind = [matched.case.prediction_values[KIND] == place for matched in scored.operating]
        pairs = list(zip(scored.operating, of_kind, strict=True))
        marks = [np.count_nonzero(matched.kept & own) for matched, own in pairs]
        false = np.array([np.count_nonzero(matched.false_positive & own) for matched, own in pairs])
        rate = ratio_interval(false, scored.column("breast_cm2"), scored.weights).as_json()
        counts = {"marks": int(sum(marks)), "false_positives": int(false.sum())}
        return counts | {"true_positives": counts["marks"] - counts["false_positives"], "fp_per_cm2": rate}

    def _lost(self, scored: ScoredSet, image: int) -> tuple[int, int]:
        """MCs of an image that are hit at the operating threshold, but not without the excluded kinds; and all hit."""
        matched = scored.operating[image]
        kept = ScoredSet([self.without_excluded(matched.case)], scored.matching).at(matched.threshold)[0]
        return int((matched.hit & ~kept.hit).sum()), int(matched.hit.sum())

    def _curve(self, table: FrocTable, weights: np.ndarray) -> dict[str, Any]:
        asked, limit = np.array(self.fp_rates_per_cm2, float), self.fp_limit_per_cm2
        curve, sampled = table.curve(), [table.curve(sample) for sample in weights]
        pauc = interval(curve.pauc(limit), np.array([one.pauc(limit) for one in sampled]))
        tprs = np.stack([one.tpr_at(asked, CM2) for one in sampled])
        return {"pauc": pauc.as_json(), "tpr_at_fp_per_cm2": tpr_at_rates(asked, curve.tpr_at(asked, CM2), tprs)}
