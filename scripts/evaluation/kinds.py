"""How marks are typed: every kind of calcification inserted into held-out normal mammograms, found, and typed.

    python -m scripts.evaluation kinds --background-dir <folder>

The calcifications are simulated; nothing of it says how the rules do on patients.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL, METAL, VASCULAR
from scripts.common.files import write_json
from scripts.common.objects import measure_objects
from scripts.common.settings import describe
from scripts.common.tensors import Spacing
from scripts.evaluation.cases import CaseScores, score_case
from scripts.evaluation.froc import FrocTable
from scripts.evaluation.kind_scenes import MarkedScenes, owners
from scripts.findings.analysis import renumbered
from scripts.findings.forming import keep_objects
from scripts.findings.kinds.rules import KindRules, TypedMarks, without_kinds
from scripts.simulation.insertion.scenes import LabelledScene, SceneSettings

OTHER = "of nothing inserted"


@dataclass
class _Tally:
    """Sums over images."""

    kinds: Counter = field(default_factory=Counter)  # (group of the object that a mark lies on, kind of the mark)
    clips: Counter = field(default_factory=Counter)
    cases: dict[str, list[CaseScores]] = field(default_factory=lambda: {"with all": [], "without excluded": []})
    false: Counter = field(default_factory=Counter)
    breast_cm2: float = 0.0
    arteries: int = 0


def measure_kinds(
    background_dir: str | Path,
    output: Path,
    section: str = "testing",
    images: int = 10,
    seed: int = 0,
    weights: str | Path = "models/model.pt",
    config: str | Path = "configs/inference.json",
    settings: SceneSettings | None = None,
    rules: KindRules | None = None,
) -> Path:
    """Measure the rules on the first `images` backgrounds of a section of a folder; write a JSON file.

    Image i depends on (seed, its place in the list). Marks down to the score `kind_scenes.LOWEST` are typed, and taken
    in by the FROC curve; shares and false positives are of those at the default method's own score threshold.
    """
    settings, rules, tally = settings or SceneSettings(), rules or KindRules(), _Tally()
    scenes = MarkedScenes(background_dir, section, settings, weights, config)
    threshold = scenes.score_threshold
    for one in scenes.drawn(images, seed):
        scene, formed, breast, spacing = one.scene, one.formed, one.breast, one.spacing
        tally.cases["with all"].append(
            score_case(scene.label, formed.labels, formed.scores, breast, spacing, case_id=one.image_id)
        )
        tally.false["with all"] += _false(keep_objects(formed.labels, formed.scores, threshold), scene, rules)
        labels, marks, scores = typed(scene.image, formed.labels, formed.scores, breast, spacing, rules)
        kept = without_kinds(labels, marks.marks, rules.exclude_kinds)
        tally.cases["without excluded"].append(
            score_case(scene.label, kept, scores, breast, spacing, case_id=one.image_id)
        )
        tally.false["without excluded"] += _false(keep_objects(kept, scores, threshold), scene, rules)
        tally.breast_cm2 += float(breast.sum() * spacing[0] * spacing[1] / 100)
        tally.arteries += len(marks.arteries)
        _tally(tally, scene, labels, marks, scores >= threshold)
    facts = {"section": section, "images": images, "seed": seed, "score_threshold": threshold}
    return write_json(
        output, {**facts, **_results(tally, rules), "rules": describe(rules), "scene": describe(settings)}
    )


def typed(
    image: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    breast: np.ndarray,
    spacing: Spacing,
    rules: KindRules,
) -> tuple[np.ndarray, TypedMarks, np.ndarray]:
    """Numbered objects with metal joined, numbered 1..n; what they are; and their scores (n + 1,)."""
    labels, scores = renumbered(*rules.join(image, labels, scores, breast, spacing))
    findings = measure_objects(labels, scores, spacing)
    return labels, rules.kinds(image, labels, findings, breast, spacing), scores


def _tally(tally: _Tally, scene: LabelledScene, labels: np.ndarray, marks: TypedMarks, shown: np.ndarray) -> None:
    """Count an image's marks by what they lie on and what they are typed as, and the clips; of those `shown`, (n + 1,),
    by number."""
    own = owners(labels, scene.objects)
    pairs = [(int(o), mark.kind) for o, mark, is_shown in zip(own, marks.marks, shown[1:], strict=True) if is_shown]
    for owner, kind in pairs:
        tally.kinds[_group(scene, owner), kind] += 1
    for record in scene.records:
        if record["kind"] == METAL:
            on = [kind for owner, kind in pairs if owner == record["number"]]
            tally.clips["one metal object" if on == [METAL] else "otherwise" if on else "not marked"] += 1


def _group(scene: LabelledScene, owner: int) -> str:
    record = scene.records[owner - 1] if owner else {"kind": OTHER, "group": ""}
    return record["group"] if record["kind"] == INDIVIDUAL else record["kind"]


def _false(labels: np.ndarray, scene: LabelledScene, rules: KindRules) -> int:
    """Marks without a pixel on an inserted MC."""
    wanted = [record["number"] for record in scene.records if record["kind"] not in rules.exclude_kinds]
    return len(np.setdiff1d(labels[labels > 0], labels[np.isin(scene.objects, wanted)]))


def _results(tally: _Tally, rules: KindRules) -> dict[str, Any]:
    groups: dict[str, dict[str, int]] = {}
    for (group, kind), count in sorted(tally.kinds.items()):
        groups.setdefault(group, {})[kind] = count

    def share(group: Callable[[str], bool], kinds: tuple[str, ...]) -> dict[str, float | int | None]:
        chosen = [found for name, found in groups.items() if group(name)]
        marks = sum(sum(found.values()) for found in chosen)
        hits = sum(found.get(kind, 0) for found in chosen for kind in kinds)
        return {"marks": marks, "typed so": hits, "share": round(hits / marks, 4) if marks else None}

    mcs, suspicious = ("grouped", "single", "linear", "segmental", "coarse", "rim"), ("linear", "segmental")
    marked = tally.clips["one metal object"] + tally.clips["otherwise"]
    curves = {name: FrocTable(cases).curve() for name, cases in tally.cases.items()}
    return {
        "arteries typed vascular": share(lambda name: name == VASCULAR, (VASCULAR,)),
        "MCs excluded": share(lambda name: name in mcs, rules.exclude_kinds),
        "MCs of linear and segmental clusters excluded": share(lambda name: name in suspicious, rules.exclude_kinds),
        "clips": dict(tally.clips) | {"share of marked": tally.clips["one metal object"] / marked if marked else None},
        "fp_per_cm2": {name: round(count / max(tally.breast_cm2, 1e-9), 4) for name, count in tally.false.items()},
        "pauc": {name: _number(curve.pauc(1.0)) for name, curve in curves.items()},
        "tpr_at_0.4": {name: _number(float(curve.tpr_at(0.4))) for name, curve in curves.items()},
        "arteries found": tally.arteries,
        "kinds": groups,
    }


def _number(value: float) -> float | None:
    """Four digits; None where it is not defined."""
    return None if np.isnan(value) else round(value, 4)
