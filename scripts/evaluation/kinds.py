"""How marks are typed: every kind of calcification inserted into held-out normal mammograms, found, and typed.

    python -m scripts.evaluation kinds --background-dir <folder>

The calcifications are simulated; nothing of it says how the rules do on patients.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.common.calcification_kinds import INDIVIDUAL, METAL, VASCULAR
from scripts.common.files import write_json
from scripts.common.objects import measure_objects
from scripts.common.settings import describe
from scripts.common.tensors import Spacing, plane, spacing_of
from scripts.data.lists.backgrounds import background_datalist
from scripts.evaluation.cases import CaseScores, score_case
from scripts.evaluation.froc import FrocTable
from scripts.findings.forming import Scene, keep_objects
from scripts.findings.kinds.rules import KindRules, TypedMarks, without_kinds
from scripts.simulation.insertion.scenes import LabelledScene, SceneSettings, render_scene, sample_scene
from scripts.simulation.insertion.shapes import SHAPE_SEEDS, shape_bank

logger = logging.getLogger(__name__)

OTHER = "of nothing inserted"
ARTERY_SHARE = 0.5  # mean of the artery map over a mark that makes it vascular
LOWEST = 0.05  # score of the marks that are typed: faint ones fill the gaps of a chain


@dataclass
class _Tally:
    """Sums over images."""

    kinds: Counter = field(default_factory=Counter)  # (group of the object that a mark lies on, kind of the mark)
    clips: Counter = field(default_factory=Counter)
    cases: dict[str, list[CaseScores]] = field(default_factory=lambda: {"with all": [], "without excluded": []})
    false: Counter = field(default_factory=Counter)
    breast_cm2: float = 0.0
    arteries: int = 0
    by_map: Counter = field(default_factory=Counter)  # (group, whether the artery map holds the mark)


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
    maps: int = 2,
) -> Path:
    """Measure the rules on the first `images` backgrounds of a section of a folder; write a JSON file.

    Image i depends on (seed, its place in the list). Marks down to the score `LOWEST` are typed, and taken in by the
    FROC curve; shares and false positives are of those at the default method's own score threshold. Of a network with
    3 `maps` the third one types marks, too: as vascular where its mean over a mark is above 0.5 ("by map").
    """
    parser = ConfigParser()
    parser.read_config(str(config))
    parser["weights"] = str(weights)
    parser["network_def::out_channels"] = maps
    read = parser.get_parsed_content("preprocessing")
    network = parser.get_parsed_content("network").eval()
    device = parser.get_parsed_content("device")
    network.load_state_dict(torch.load(weights, map_location=device, weights_only=True))
    inferer, objects = parser.get_parsed_content("inferer"), parser.get_parsed_content("objects")
    threshold = float(parser.get_parsed_content("score_threshold"))
    settings, rules, tally = settings or SceneSettings(), rules or KindRules(), _Tally()
    bank = shape_bank(SHAPE_SEEDS[section])
    for place, item in enumerate(background_datalist(background_dir)[section][:images]):
        loaded = read(dict(item))
        spacing = spacing_of(loaded["image"])
        breast, inner = plane(loaded["breast"]), plane(loaded["breast_inner"])
        rng = np.random.default_rng([seed, place])
        spec = sample_scene(rng, inner, spacing[0], bank, settings)
        scene = render_scene(np.ascontiguousarray(plane(loaded["image"]), np.float32), spec, bank, settings)
        tensor = MetaTensor(torch.from_numpy(scene.image)[None, None], meta=dict(loaded["image"].meta)).to(device)
        logits = inferer(tensor, network, breast=loaded["breast"][None])[0].cpu().numpy()
        formed = objects.form(Scene(scene.image, logits, inner, spacing), LOWEST)
        tally.cases["with all"].append(
            score_case(scene.label, formed.labels, formed.scores, breast, spacing, case_id=item["image_id"])
        )
        tally.false["with all"] += _false(keep_objects(formed.labels, formed.scores, threshold), scene, rules)
        labels, marks, scores = typed(scene.image, formed.labels, formed.scores, breast, spacing, rules)
        kept = without_kinds(labels, marks.marks, rules.exclude_kinds)
        tally.cases["without excluded"].append(
            score_case(scene.label, kept, scores, breast, spacing, case_id=item["image_id"])
        )
        tally.false["without excluded"] += _false(keep_objects(kept, scores, threshold), scene, rules)
        tally.breast_cm2 += float(breast.sum() * spacing[0] * spacing[1] / 100)
        tally.arteries += len(marks.arteries)
        _tally(tally, scene, labels, marks, scores >= threshold)
        if maps > 2:
            in_artery = _means(labels, 1 / (1 + np.exp(-logits[2].astype(np.float64)))) > ARTERY_SHARE
            tally.by_map += _by_map(scene, labels, in_artery, scores >= threshold)
        logger.info("%s: %d objects inserted", item["image_id"], len(scene.records))
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
    labels = rules.join(image, labels, scores, spacing)
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1
    numbers = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    numbers[present] = np.arange(1, present.size + 1)
    labels, scores = numbers[labels], np.append(0, scores[present])
    findings = measure_objects(labels, scores, spacing)
    return labels, rules.kinds(image, labels, findings, breast, spacing), scores


def owners(labels: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Number of the inserted object that each mark 1..n covers most of, int (n,); 0 for none."""
    pixels = np.flatnonzero((labels > 0) & (objects > 0))
    found = np.zeros(int(labels.max(initial=0)), np.int64)
    pairs, count = np.unique(np.stack([labels.ravel()[pixels], objects.ravel()[pixels]], 1), axis=0, return_counts=True)
    order = np.argsort(count, kind="stable")  # the largest overlap last, so that it stays
    found[pairs[order, 0] - 1] = pairs[order, 1]
    return found


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


def _means(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of a map, (rows, cols), over each mark 1..n, (n,)."""
    count = np.bincount(labels.ravel(), minlength=1)[1:]
    return np.bincount(labels.ravel(), values.ravel(), minlength=count.size + 1)[1:] / np.maximum(count, 1)


def _by_map(scene: LabelledScene, labels: np.ndarray, in_artery: np.ndarray, shown: np.ndarray) -> Counter:
    """Counts of the shown marks by (group of what they lie on, whether the artery map holds them)."""
    found: Counter = Counter()
    for owner, inside, is_shown in zip(owners(labels, scene.objects), in_artery, shown[1:], strict=True):
        if is_shown:
            found[_group(scene, int(owner)), bool(inside)] += 1
    return found


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
    } | ({"by map": _map_shares(tally.by_map)} if tally.by_map else {})


def _map_shares(found: Counter) -> dict[str, dict[str, int]]:
    """{group: {"marks", "vascular by map"}}."""
    groups = sorted({group for group, _ in found})
    return {g: {"marks": found[g, True] + found[g, False], "vascular by map": found[g, True]} for g in groups}


def _number(value: float) -> float | None:
    """Four digits; None where it is not defined."""
    return None if np.isnan(value) else round(value, 4)
