"""Normal mammograms with every kind of calcification inserted, and the marks that the default method finds in them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.common.tensors import Spacing, plane, spacing_of
from scripts.data.lists.backgrounds import background_datalist
from scripts.findings.forming import Scene, ScoredObjects
from scripts.simulation.insertion.scenes import LabelledScene, SceneSettings, render_scene, sample_scene
from scripts.simulation.insertion.shapes import SHAPE_SEEDS, shape_bank

logger = logging.getLogger(__name__)

LOWEST = 0.05  # score of the marks that are typed: faint ones fill the gaps of an artery


@dataclass(frozen=True, eq=False)
class MarkedScene:
    """A scene and its marks down to the score `LOWEST`."""

    image_id: str
    scene: LabelledScene
    formed: ScoredObjects
    breast: np.ndarray  # bool (rows, cols)
    spacing: Spacing


class MarkedScenes:
    """The scenes of a folder of backgrounds.

    Args:
        background_dir: normal mammograms.
        section: part of the folder: training, validation, testing.
        settings: what the scenes hold.
        weights, config: the method that marks them.
    """

    def __init__(
        self, background_dir: str | Path, section: str, settings: SceneSettings, weights: str | Path, config: str | Path
    ) -> None:
        parser = ConfigParser()
        parser.read_config(str(config))
        parser["weights"] = str(weights)
        self._read = parser.get_parsed_content("preprocessing")
        self._network = parser.get_parsed_content("network").eval()
        self._device = parser.get_parsed_content("device")
        self._network.load_state_dict(torch.load(weights, map_location=self._device, weights_only=True))
        self._inferer, self._objects = parser.get_parsed_content("inferer"), parser.get_parsed_content("objects")
        self.score_threshold = float(parser.get_parsed_content("score_threshold"))
        self._settings, self._bank = settings, shape_bank(SHAPE_SEEDS[section])
        self._items = background_datalist(background_dir)[section]

    def drawn(self, images: int, seed: int) -> Iterator[MarkedScene]:
        """The first `images` of them; image i depends on (seed, its place in the list)."""
        for place, item in enumerate(self._items[:images]):
            loaded = self._read(dict(item))
            spacing, inner = spacing_of(loaded["image"]), plane(loaded["breast_inner"])
            spec = sample_scene(np.random.default_rng([seed, place]), inner, spacing[0], self._bank, self._settings)
            image = np.ascontiguousarray(plane(loaded["image"]), np.float32)
            scene = render_scene(image, spec, self._bank, self._settings)
            tensor = MetaTensor(torch.from_numpy(scene.image)[None, None], meta=dict(loaded["image"].meta))
            logits = self._inferer(tensor.to(self._device), self._network, breast=loaded["breast"][None])[0]
            formed = self._objects.form(Scene(scene.image, logits.cpu().numpy(), inner, spacing), LOWEST)
            logger.info("%s: %d objects inserted", item["image_id"], len(scene.records))
            yield MarkedScene(item["image_id"], scene, formed, plane(loaded["breast"]), spacing)


def owners(labels: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Number of the inserted object that each mark 1..n covers most of, int (n,); 0 for none."""
    pixels = np.flatnonzero((labels > 0) & (objects > 0))
    found = np.zeros(int(labels.max(initial=0)), np.int64)
    pairs, count = np.unique(np.stack([labels.ravel()[pixels], objects.ravel()[pixels]], 1), axis=0, return_counts=True)
    order = np.argsort(count, kind="stable")  # the largest overlap last, so that it stays
    found[pairs[order, 0] - 1] = pairs[order, 1]
    return found
