"""Images with labels of their distribution, for the search of clusters: generated ones, and results of inference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from scripts.common.checks import check_fields
from scripts.common.objects import Microcalcification, measure_objects
from scripts.common.stage import run_stage
from scripts.common.tensors import Spacing
from scripts.data.reader.errors import check_file
from scripts.data.text_files import csv_rows, json_content
from scripts.findings.clusters import Breast
from scripts.findings.features import MCFeatures
from scripts.findings.features.microcalcifications import arrays_of
from scripts.simulation.phantom.distributions import KINDS, breast_cm2, draw_on_plain, sample_distribution
from scripts.simulation.phantom.outline import nipple_mm

WANT_FINDINGS = "a findings.json of this bundle"
WANT_LABELS = "a table with the columns image_id,labels; several labels of an image with | between them"


class LabelledImage(NamedTuple):
    """The MCs of an image, and the labels of their distribution that someone gave."""

    image_id: str
    labels: tuple[str, ...]  # one or several
    mcs: Sequence[Microcalcification]
    features: dict[str, np.ndarray]  # {name: (n,)} of the MCs
    spacing_mm: Spacing
    breast: Breast


class ImageSource(Protocol):
    """Where labelled images come from; a frozen dataclass of its settings."""

    def images(self) -> list[LabelledImage]:
        """All images, in order."""


@dataclass(frozen=True)
class DistributionPhantoms:
    """Generated MCs of the five distributions, on a plain background: simulated data, equal for equal settings."""

    count: int = 60  # images; the distributions take turns
    seed: int = 0
    several_share: float = 0.107  # images with a second distribution (13 of 122 in the paper)
    shape: tuple[int, int] = (2560, 2048)
    spacing_mm: float = 0.07

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        check_fields(self, count="[1, inf)", several_share="[0, 1]", spacing_mm="(0, inf)")

    def images(self) -> list[LabelledImage]:
        """See `ImageSource`."""
        return [self._image(number) for number in range(self.count)]

    def _image(self, number: int) -> LabelledImage:
        rng = np.random.default_rng([self.seed, number])
        names = list(KINDS)
        kinds = [names[number % len(names)]]
        if rng.random() < self.several_share:
            kinds.append(str(rng.choice([name for name in names if name not in (kinds[0], "diffuse")])))
        spec = sample_distribution(rng, kinds, self.shape, self.spacing_mm)
        image, labels = draw_on_plain(spec)
        spacing_mm = (self.spacing_mm, self.spacing_mm)
        mcs = measure_objects(labels, np.ones(labels.max() + 1), spacing_mm)
        breast = Breast(breast_cm2(spec.outline), nipple_mm(spec.outline))
        features = MCFeatures().measure(labels, image, spacing_mm)
        return LabelledImage(f"phantom_{number:03d}", tuple(kinds), mcs, features, spacing_mm, breast)


@dataclass(frozen=True)
class InferredImages:
    """MCs that inference found, and a table of labels that a reader gave to the images.

    The table (CSV) has the columns image_id and labels. An image_id is the name of the image's folder of results, or
    its first part up to "_" (INbreast's number). Images without a label, or with no MC, are left out.
    """

    findings_dir: str  # holds <image>/findings.json
    labels_file: str
    input_dir: str = ""  # mammograms on which inference is run first, once; "": the results are there
    inference_configs: tuple[str, ...] = ("configs/inference.json",)
    exclude_kinds: tuple[str, ...] = ("vascular", "metal", "skin-line")  # kinds of calcification that do not count

    def images(self) -> list[LabelledImage]:
        """See `ImageSource`."""
        folder = Path(self.findings_dir).expanduser()
        labels = read_labels(self.labels_file)
        if self.input_dir:
            arguments: dict[str, Any] = {"run_id": "inference", "config_file": list(self.inference_configs)}
            run_stage(folder, "inference", arguments | {"input_dir": self.input_dir, "output_dir": str(folder)})
        found = [(path.parent.name, path) for path in sorted(folder.glob("*/findings.json"))]
        named = [(path, name, labels.get(name) or labels.get(name.partition("_")[0])) for name, path in found]
        images = [self._image(path, name, given) for path, name, given in named if given]
        check_file(folder, images, "no findings.json of an image in the table of labels", f"results and {WANT_LABELS}")
        return [image for image in images if image.mcs]

    def _image(self, path: Path, name: str, labels: tuple[str, ...]) -> LabelledImage:
        content = json_content(path, WANT_FINDINGS)
        try:
            records = [mc for mc in content["microcalcifications"] if mc.get("kind") not in self.exclude_kinds]
            fields = Microcalcification.__dataclass_fields__
            mcs = [Microcalcification(**{field: mc[field] for field in fields if field in mc}) for mc in records]
            row_mm, col_mm = map(float, content["spacing_mm"])
            nipple = content.get("nipple_mm")
            breast = Breast(content.get("breast_area_cm2"), None if nipple is None else (nipple[0], nipple[1]))
            features = arrays_of([mc.get("features") or {} for mc in records])
        except (KeyError, TypeError, ValueError) as error:
            check_file(path, False, f"{type(error).__name__}: {error}", WANT_FINDINGS)
            raise
        return LabelledImage(name, labels, mcs, features, (row_mm, col_mm), breast)


def read_labels(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Labels of images, {image_id: labels}, of a CSV table; a fault is a MammogramReadError that names the line."""
    _, rows = csv_rows(path, WANT_LABELS, ("image_id", "labels"))
    found: dict[str, tuple[str, ...]] = {}
    for where, row in rows:
        name = str(row.get("image_id", ""))
        labels = tuple(dict.fromkeys(filter(None, (part.strip() for part in str(row.get("labels", "")).split("|")))))
        check_file(path, name and name not in found, f"{where} with the image_id {name!r}", WANT_LABELS)
        found[name] = labels
    return {name: labels for name, labels in found.items() if labels}
