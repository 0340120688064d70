"""Marks that count by themselves, and fainter ones that only tell whether the other exam shows something there.

What a network misses in one exam would look like change. So both exams are searched down to a low score: an MC is new
(or gone) only where the other exam has nothing even there. A faint mark without a clear partner is no MC.
"""

from dataclasses import replace

import numpy as np

from scripts.findings.clusters import ClusterRule, form_clusters
from scripts.findings.follow_up.compare import Comparison
from scripts.findings.follow_up.exams import Exam


def without_faint(
    prior: Exam, current: Exam, comparison: Comparison, clear_from: tuple[float, float], rule: ClusterRule
) -> tuple[Exam, Exam, Comparison]:
    """Exams and comparison without the marks that are faint in every exam that shows them.

    `clear_from` is the score from which a mark is clear, of the prior and of the current exam. Marks keep their ids;
    clusters are formed anew of those that are left.
    """
    exams = (prior, current)
    clear = [
        {mc.id for mc in exam.findings if mc.score >= least} for exam, least in zip(exams, clear_from, strict=True)
    ]
    kept = [e for e in comparison.traces if e.prior_id in clear[0] or e.current_id in clear[1]]
    shown = [
        clear[0] | {entry.prior_id for entry in kept if entry.prior_id is not None},
        clear[1] | {entry.current_id for entry in kept if entry.current_id is not None},
    ]
    traces = tuple(replace(entry, number=number) for number, entry in enumerate(kept, start=1))
    made = [_only(exam, ids, rule) for exam, ids in zip(exams, shown, strict=True)]
    return made[0], made[1], replace(comparison, traces=traces)


def _only(exam: Exam, ids: set[int], rule: ClusterRule) -> Exam:
    """The exam with these MCs alone."""
    findings = [mc for mc in exam.findings if mc.id in ids]
    if len(findings) == len(exam.findings):
        return exam
    clusters = {cluster.id: cluster.members for cluster in form_clusters(rule, findings, exam.spacing_mm)}
    instances = exam.instances
    if instances is not None:
        instances = np.where(np.isin(instances, list(ids)), instances, 0)
    return replace(exam, findings=findings, clusters=clusters, instances=instances)
