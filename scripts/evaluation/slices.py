"""How touching, large and superficial microcalcifications (MCs) come out, with and without parting and wholes.

    python -m scripts.evaluation slices --background-dir <folder>

MCs are drawn into held-out normal mammograms (scripts/simulation/insertion/slices.py), found by the default method, and
taken through the analysis of findings as it is, with touching ones parted, and with large ones made whole.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.common.files import write_json
from scripts.common.settings import describe
from scripts.common.tables import markdown_table, write_text
from scripts.common.tensors import Spacing, plane, spacing_of
from scripts.data.lists.backgrounds import background_datalist
from scripts.evaluation.cases import CaseScores, HitRule, number_objects, score_arrays
from scripts.evaluation.froc import FrocTable
from scripts.evaluation.statistics import Bootstrap, ratio_interval
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.forming import Scene
from scripts.findings.parting import CentreParting
from scripts.findings.wholes import Wholes
from scripts.simulation.insertion.shapes import SHAPE_SEEDS, shape_bank
from scripts.simulation.insertion.slices import (
    CLUSTER,
    LARGE,
    PAIR,
    SINGLE,
    SKIN,
    TRIPLE,
    SliceScene,
    SliceSettings,
    render_slices,
    sample_slices,
)

logger = logging.getLogger(__name__)

LOWEST = 0.05  # score of the marks that the analysis sees, as in configs/inference.json (`typed_from`)
MEMBER_IOU = 0.3  # a member of a touching group is found by a mark of its own that overlaps it so much
WHOLE_IOU = 0.5  # a large MC is whole where its only mark overlaps it so much
#: what is measured -> (analysis, whether MCs are looked for up to the skin)
ERODED, TO_SKIN = "eroded breast", "up to the skin"
Row = dict[str, float]
#: figure -> (slice of groups, "" for counts of images; count; what it is divided by)
FIGURES: dict[str, tuple[str, str, str]] = {
    "pairs parted": (PAIR, "parted", "groups"),
    "pairs without a mark": (PAIR, "missed", "groups"),
    "triples parted": (TRIPLE, "parted", "groups"),
    "single MCs found": (SINGLE, "hit", "groups"),
    "single MCs in pieces": (SINGLE, "in pieces", "groups"),
    "MCs of clusters found": (CLUSTER, "hit", "groups"),
    "MCs of clusters in pieces": (CLUSTER, "in pieces", "groups"),
    "large MCs whole": (LARGE, "whole", "groups"),
    "large MCs, mean IoU": (LARGE, "iou", "groups"),
    "large MCs, marks of a found one": (LARGE, "marks", "found"),
    "MCs in the outer 1.5 mm found": (SKIN, "hit", "groups"),
    "MCs of excluded kinds": ("", "excluded", "MCs"),
    "false marks per cm²": ("", "false", "cm2"),
}


def variants(parting: CentreParting, wholes: Wholes, **analysis: Any) -> dict[str, tuple[FindingsAnalysis, str]]:
    """{name: the analysis of findings, where MCs are looked for}."""
    made = {
        "off": (FindingsAnalysis(parting=None, wholes=None, **analysis), ERODED),
        "parting": (FindingsAnalysis(parting=parting, wholes=None, **analysis), ERODED),
        "wholes": (FindingsAnalysis(parting=None, wholes=wholes, **analysis), ERODED),
        "both": (FindingsAnalysis(parting=parting, wholes=wholes, **analysis), ERODED),
    }
    return made | {"off, up to the skin": (made["off"][0], TO_SKIN)}


def measure_slices(
    background_dir: str | Path,
    output: Path,
    section: str = "testing",
    images: int = 16,
    seed: int = 0,
    weights: str | Path = "models/model.pt",
    config: str | Path = "configs/inference.json",
    settings: SliceSettings | None = None,
    parting: CentreParting | None = None,
    wholes: Wholes | None = None,
) -> Path:
    """Measure on the first `images` backgrounds of a section of a folder; write a JSON file and a table beside it.

    Image i depends on (seed, its place in the list).
    """
    segmenter = Segmenter(config, weights)
    settings, bank = settings or SliceSettings(), shape_bank(SHAPE_SEEDS[section])
    parting, wholes = parting or CentreParting(), wholes or Wholes()
    tried = variants(parting, wholes, features=None, clusters=None)
    rows: dict[str, list[Row]] = {name: [] for name in tried}
    cases: dict[str, list[CaseScores]] = {name: [] for name in tried}
    for place, item in enumerate(background_datalist(background_dir)[section][:images]):
        loaded = segmenter.read(dict(item))
        spacing, breast, inner = spacing_of(loaded["image"]), plane(loaded["breast"]), plane(loaded["breast_inner"])
        rng = np.random.default_rng([seed, place])
        spec = sample_slices(rng, breast, spacing[0], bank, settings)
        scene = render_slices(np.ascontiguousarray(plane(loaded["image"]), np.float32), spec, bank, settings)
        logits = segmenter.logits(scene.image, loaded)
        formed = {
            region: segmenter.objects.form(Scene(scene.image, logits, within, spacing), LOWEST)
            for region, within in ((ERODED, inner), (TO_SKIN, breast))
        }
        for name, (analysis, region) in tried.items():
            found = analysis.analyse(scene.image, formed[region].labels, formed[region].scores, breast, spacing)
            counted = np.where(found.mask, found.labels, 0)
            arrays = number_objects(scene.label, counted, found.scores, breast, spacing, annotated=_visible(scene))
            cases[name].append(score_arrays(arrays, case_id=str(item["image_id"])))
            shown = np.concatenate([[False], found.scores[1:] >= segmenter.threshold])
            row = figures_of(scene, np.where(shown[counted], counted, 0), spacing)
            excluded = np.where(shown[found.labels] & ~found.mask, found.labels, 0)
            row["excluded"] = float(np.count_nonzero(np.unique(_visible(scene)[excluded > 0])))
            row["MCs"] = float(_visible(scene).max(initial=0))
            row["cm2"] = float(breast.sum() * spacing[0] * spacing[1] / 100)
            rows[name].append(row)
        logger.info("%s: %d MCs inserted", item["image_id"], len(scene.records))
    facts = {"section": section, "images": images, "seed": seed, "score_threshold": segmenter.threshold}
    results = {name: summary_of(rows[name], cases[name]) for name in tried}
    lines = [[figure, *(_shown(results[name][figure]) for name in tried)] for figure in results["off"]]
    write_text(output.with_suffix(".md"), markdown_table(["figure", *tried], lines))
    about = {"parting": describe(parting), "wholes": describe(wholes), "scene": describe(settings)}
    return write_json(output, facts | {"results": results} | about)


class Segmenter:
    """The method of an inference config: reads an image, and runs its network on one that was drawn into."""

    def __init__(self, config: str | Path, weights: str | Path) -> None:
        parser = ConfigParser()
        parser.read_config(str(config))
        parser["weights"] = str(weights)
        self.read, self.device = parser.get_parsed_content("preprocessing"), parser.get_parsed_content("device")
        self.network = parser.get_parsed_content("network").eval()
        self.network.load_state_dict(torch.load(weights, map_location=self.device, weights_only=True))
        self.inferer, self.objects = parser.get_parsed_content("inferer"), parser.get_parsed_content("objects")
        self.threshold = float(parser.get_parsed_content("score_threshold"))

    def logits(self, image: np.ndarray, loaded: Mapping[str, Any]) -> np.ndarray:
        """float32 (maps, rows, cols) of an image, float32 (rows, cols), in the place of the one that was read."""
        tensor = MetaTensor(torch.from_numpy(image)[None, None], meta=dict(loaded["image"].meta)).to(self.device)
        return self.inferer(tensor, self.network, breast=loaded["breast"][None])[0].cpu().numpy()


def figures_of(scene: SliceScene, marks: np.ndarray, spacing_mm: Spacing) -> Row:
    """Counts of one image, "<slice> <count>": marks are int (rows, cols), 0 background, numbers with gaps.

    A mark is on the MC that it overlaps most. A touching group is *parted* when it has as many marks on it as members,
    and each member one of its own with an IoU of at least `MEMBER_IOU`. Groups with a faint member count nowhere.
    """
    numbers = np.unique(marks[marks > 0])
    overlap = np.zeros((len(scene.records) + 1, numbers.size))
    both = np.flatnonzero(marks)
    np.add.at(overlap, (scene.objects.ravel()[both], np.searchsorted(numbers, marks.ravel()[both])), 1)
    area = np.bincount(scene.objects.ravel(), minlength=len(overlap))
    iou = overlap[1:] / np.maximum(area[1:, None] + overlap.sum(axis=0) - overlap[1:], 1)
    owner = np.where(overlap[1:].any(axis=0), overlap[1:].argmax(axis=0), -1) if numbers.size else np.zeros(0, int)
    near = _near(scene, marks, numbers, spacing_mm) | (iou >= HitRule().iou)
    row: Row = {"false": float(np.count_nonzero(owner < 0))}

    def add(name: str, value: float) -> None:
        row[name] = row.get(name, 0.0) + float(value)

    for group in sorted({record["group"] for record in scene.records if record["visible"]}):
        members = np.array([record["number"] - 1 for record in scene.records if record["group"] == group])
        name = str(scene.records[members[0]]["slice"])
        on = np.flatnonzero(np.isin(owner, members))
        own = [((owner[on] == member) & (iou[member, on] >= MEMBER_IOU)).any() for member in members]
        add(f"{name} groups", 1)
        add(f"{name} found", on.size > 0)
        add(f"{name} missed", on.size == 0)
        add(f"{name} marks", on.size)
        add(f"{name} parted", on.size == members.size and all(own))
        add(f"{name} in pieces", on.size > members.size)
        add(f"{name} hit", near[members].any())
        best = float(iou[members[0]].max(initial=0))
        add(f"{name} iou", best)
        add(f"{name} whole", on.size == 1 and best >= WHOLE_IOU)
    return row


def summary_of(rows: Sequence[Row], cases: Sequence[CaseScores]) -> dict[str, dict[str, float | None]]:
    """Figures over images, each {"value", "low", "high", ...} with a bootstrap interval over images; and the pAUC."""
    weights = Bootstrap().weights([case.patient for case in cases])
    found: dict[str, Any] = {}
    for figure, (name, part, whole) in FIGURES.items():
        parts, wholes = (np.array([row.get(f"{name} {key}".strip(), 0.0) for row in rows]) for key in (part, whole))
        found[figure] = ratio_interval(parts, wholes, weights).as_json()
    curve = FrocTable(cases).curve()
    found["pAUC (0 to 1 FP/cm²)"] = {"value": round(curve.pauc(1.0), 4)}
    return found


def _visible(scene: SliceScene) -> np.ndarray:
    """The MCs of groups without a faint member, int (rows, cols), numbered without gaps."""
    table = np.zeros(len(scene.records) + 1, np.int64)
    visible = [record["number"] for record in scene.records if record["visible"]]
    visible = [number for number in visible if (scene.objects == number).any()]
    table[visible] = np.arange(1, len(visible) + 1)
    return table[scene.objects]


def _near(scene: SliceScene, marks: np.ndarray, numbers: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Whether the centroids of an MC and of a mark are as near as a hit asks for, bool (MCs, marks)."""
    places = []
    for labels, wanted in ((scene.objects, np.arange(1, len(scene.records) + 1)), (marks, numbers)):
        pixels = np.flatnonzero(labels)
        rows, cols = np.divmod(pixels, labels.shape[1])
        number = np.searchsorted(wanted, labels.ravel()[pixels])
        count = np.bincount(number, minlength=wanted.size)
        sums = [np.bincount(number, values, minlength=wanted.size) for values in (rows, cols)]
        with np.errstate(invalid="ignore"):
            places.append(np.stack(sums, 1) / count[:, None] * spacing_mm)
    offset = places[0][:, None] - places[1]
    return np.hypot(offset[..., 0], offset[..., 1]) <= HitRule().distance_mm


def _shown(value: Mapping[str, Any]) -> str:
    numbers = [value.get(name) for name in ("value", "low", "high")]
    if numbers[0] is None:
        return "-"
    return f"{numbers[0]:.3f}" + ("" if None in numbers else f" ({numbers[1]:.3f} to {numbers[2]:.3f})")
