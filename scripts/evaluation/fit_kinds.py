"""Fit the model of vascular marks on scenes in training backgrounds; write its weights as plain numbers.

python -m scripts.evaluation fit-kinds --background-dir <folder> --output <vascular_weights.json>
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from scripts.common.calcification_kinds import INDIVIDUAL, SKIN_LINE, VASCULAR
from scripts.common.files import write_atomically
from scripts.common.objects import measure_objects
from scripts.evaluation.kind_scenes import MarkedScene, MarkedScenes, owners
from scripts.findings.analysis import renumbered
from scripts.findings.kinds.geometry import measure_marks
from scripts.findings.kinds.neighbourhoods import FEATURES, Neighbourhoods, NeighbourhoodSettings, neighbourhoods
from scripts.findings.kinds.rules import KindRules
from scripts.findings.kinds.vascular_model import CONTEXT, BoostedTrees, VascularModel, context
from scripts.simulation.insertion.scenes import SceneSettings

#: Scenes and their seeds: more arteries and ducts than the benchmark's hold, as these are what the model has to part.
SCENES = (
    (SceneSettings(arteries=2, linear=2, segmental=1), (100, 101, 102)),
    (SceneSettings(arteries=1, linear=2, segmental=3), (201, 202)),
)
DEPTH = 3
#: Of scikit-learn's trees. Chosen by the kinds told on backgrounds left out of the fit (docs/log/findings.md).
TREES = {"n_estimators": 100, "learning_rate": 0.08, "min_samples_leaf": 30, "subsample": 0.5, "max_features": 0.4}


@dataclass(frozen=True, eq=False)
class Sample:
    """The marks of a scene."""

    around: Neighbourhoods
    is_vascular: np.ndarray  # bool (n,)
    weight: np.ndarray  # (n,) in the fit


def fit_kinds(
    background_dir: str | Path,
    output: Path,
    images: int = 1000,
    weights: str | Path = "models/model.pt",
    config: str | Path = "configs/inference.json",
) -> Path:
    """Fit on the first `images` training backgrounds, each with the scenes of every seed; write a JSON file."""
    samples: list[Sample] = []
    for scene, seeds in SCENES:
        scenes = MarkedScenes(background_dir, "training", scene, weights, config)
        samples += [sample(marked, scenes.score_threshold) for seed in seeds for marked in scenes.drawn(images, seed)]
    return write_model(output, fit(samples))


def sample(marked: MarkedScene, score_threshold: float, settings: NeighbourhoodSettings | None = None) -> Sample:
    """What the model sees of a scene. MCs of clusters weigh twice, marks below the threshold half."""
    rules, image = KindRules(), marked.scene.image
    labels, scores = marked.formed.labels, marked.formed.scores
    labels, scores = renumbered(*rules.join(image, labels, scores, marked.breast, marked.spacing))
    marks = measure_marks(labels, measure_objects(labels, scores, marked.spacing), marked.spacing)
    metal: dict[int, str] = {}
    if rules.metal is not None:
        metal = rules.metal.marks(labels, rules.metal.pieces(image, marked.breast, marked.spacing))
    chosen = np.setdiff1d(np.arange(len(marks)), np.array(list(metal), int) - 1)
    records = [{"kind": "", "group": ""}, *marked.scene.records]
    own = owners(labels, marked.scene.objects)
    own = np.append(own, np.zeros(len(marks) - len(own), int))[chosen]
    kinds = np.array([records[number]["kind"] for number in own])
    groups = np.array([records[number]["group"] for number in own])
    is_clustered = (kinds == INDIVIDUAL) & np.isin(groups, ("grouped", "linear", "segmental"))
    weight = np.where(scores[1:][chosen] >= score_threshold, 1.0, 0.5) * np.where(is_clustered, 2.0, 1.0)
    weight[kinds == SKIN_LINE] = 0.3
    around = neighbourhoods(image, marks, chosen, marked.spacing, settings or NeighbourhoodSettings())
    return Sample(around, kinds == VASCULAR, weight)


def fit(samples: Sequence[Sample]) -> VascularModel:
    """The model of samples; the same ones give the same model."""
    truth = np.concatenate([one.is_vascular for one in samples])
    weight = np.concatenate([one.weight for one in samples])
    first = fit_trees(np.concatenate([one.around.features for one in samples]), truth, weight)
    parts = [
        np.hstack([one.around.features, context(first.log_odds(one.around.features), one.around)]) for one in samples
    ]
    return VascularModel(first, fit_trees(np.concatenate(parts), truth, weight))


def fit_trees(values: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> BoostedTrees:
    """Trees that tell from values (n, k) what is true, bool (n,), each with its weight."""
    fitted = GradientBoostingClassifier(max_depth=DEPTH, random_state=0, **TREES).fit(values, truth, weight)
    full = [_full(tree.tree_) for tree in fitted.estimators_[:, 0]]
    features, thresholds, leaves = (tuple(part) for part in zip(*full, strict=True))
    leaves = tuple(tuple(TREES["learning_rate"] * leaf for leaf in tree) for tree in leaves)
    start = (
        fitted.decision_function(values[:1])[0]
        - BoostedTrees(0.0, features, thresholds, leaves).log_odds(values[:1])[0]
    )
    return BoostedTrees(float(start), features, thresholds, leaves)


def _full(tree: Any) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Features, thresholds and leaves of one of scikit-learn's trees; a leaf that comes early has its like under it."""
    features, thresholds, nodes = list[int](), list[float](), [0]
    for _ in range(DEPTH):
        below = list[int]()
        for node in nodes:
            is_leaf = tree.children_left[node] < 0
            features.append(0 if is_leaf else int(tree.feature[node]))
            thresholds.append(0.0 if is_leaf else float(tree.threshold[node]))
            below += [node, node] if is_leaf else [int(tree.children_left[node]), int(tree.children_right[node])]
        nodes = below
    return tuple(features), tuple(thresholds), tuple(float(tree.value[node, 0, 0]) for node in nodes)


def write_model(output: Path, model: VascularModel) -> Path:
    """Write a model as `read_model` reads it: a line for each part of the trees."""
    parts = {"features": FEATURES, "context": CONTEXT, **asdict(model)}
    return write_atomically(output, lambda path: path.write_text(json.dumps(parts) + "\n", encoding="utf-8"))
