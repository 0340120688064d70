"""Fit the model of vascular marks on scenes in training backgrounds; write its weights as plain numbers.

python -m scripts.evaluation fit-kinds --background-dir <folder> --output <vascular_weights.json>
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from scripts.common.calcification_kinds import INDIVIDUAL, SKIN_LINE, VASCULAR
from scripts.common.files import write_atomically
from scripts.common.objects import measure_objects
from scripts.evaluation.kind_scenes import MarkedScene, MarkedScenes, owners
from scripts.findings.analysis import renumbered
from scripts.findings.kinds.geometry import measure_marks
from scripts.findings.kinds.neighbourhoods import FEATURES, Neighbourhoods, NeighbourhoodSettings, neighbourhoods
from scripts.findings.kinds.rules import KindRules
from scripts.findings.kinds.vascular_model import CONTEXT, Regression, VascularModel, context, expanded
from scripts.simulation.insertion.scenes import SceneSettings

SEEDS = (100, 101, 102)
#: More arteries and ducts than the benchmark's scenes hold: these are what the model has to part.
SCENE = SceneSettings(arteries=2, linear=2, segmental=1)
STRENGTH = 0.01  # scikit-learn's C: the inverse of the weights' penalty; best of 0.003 to 1 on backgrounds left out


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
    seeds: Sequence[int] = SEEDS,
    weights: str | Path = "models/model.pt",
    config: str | Path = "configs/inference.json",
) -> Path:
    """Fit on the first `images` training backgrounds, each with a scene of every seed; write a JSON file."""
    scenes = MarkedScenes(background_dir, "training", SCENE, weights, config)
    samples = [sample(marked, scenes.score_threshold) for seed in seeds for marked in scenes.drawn(images, seed)]
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


def fit(samples: Sequence[Sample], strength: float = STRENGTH) -> VascularModel:
    """The model of samples."""
    truth = np.concatenate([one.is_vascular for one in samples])
    weight = np.concatenate([one.weight for one in samples])
    first = _regression(np.concatenate([one.around.features for one in samples]), truth, weight, strength)
    parts = [
        np.hstack([one.around.features, context(first.log_odds(one.around.features), one.around)]) for one in samples
    ]
    return VascularModel(first, _regression(np.concatenate(parts), truth, weight, strength))


def write_model(output: Path, model: VascularModel) -> Path:
    """Write a model as `read_model` reads it, seven digits of each number."""
    parts = {name: _rounded(part) for name, part in asdict(model).items()}
    lines = json.dumps({"features": FEATURES, "context": CONTEXT, **parts})
    return write_atomically(output, lambda path: path.write_text(lines + "\n", encoding="utf-8"))


def _regression(values: np.ndarray, truth: np.ndarray, weight: np.ndarray, strength: float) -> Regression:
    mean, sd = values.mean(0), values.std(0) + 1e-9
    fitted = LogisticRegression(C=strength, max_iter=2000).fit(expanded((values - mean) / sd), truth, weight)
    means, sds, weights = (tuple(map(float, row)) for row in (mean, sd, fitted.coef_[0]))
    return Regression(means, sds, weights, float(fitted.intercept_[0]))


def _rounded(part: dict[str, float | tuple[float, ...]]) -> dict[str, float | list[float]]:
    return {
        name: [float(f"{number:.7g}") for number in value] if isinstance(value, tuple) else float(f"{value:.7g}")
        for name, value in part.items()
    }
