"""What a sweep needs of each image, made once and kept on disk: inputs of HDoG, or of the combining."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from tqdm import tqdm

from scripts.common.files import sha256_of, write_atomically
from scripts.common.settings import describe
from scripts.common.tensors import plane, spacing_of
from scripts.data.cache import cache_key
from scripts.data.lists.folder import FAILURE
from scripts.findings.combining import CandidateObjects

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


class CaseArrays:
    """Arrays of every image of a data list in `.npz` files, whose names follow from the files and the settings.

    Args:
        items: of the data list.
        cache_dir: folder of the files.
        loader: chain that reads an item.
        made_with: objects and values that the arrays depend on besides.

    Attributes:
        settings: names of the files, which say it all.
    """

    def __init__(
        self, items: Sequence[Mapping[str, Any]], cache_dir: str | Path, loader: Callable, made_with: Any
    ) -> None:
        self.items, self.cache_dir, self.loader = list(items), Path(cache_dir).expanduser(), loader
        self._facts = json.dumps(describe(made_with), sort_keys=True)

    @property
    def settings(self) -> dict[str, list[str]]:
        """For `describe`."""
        return {"images": [self.path(item).stem for item in self.items]}

    def path(self, item: Mapping[str, Any]) -> Path:
        """File of an item."""
        name = hashlib.sha256(f"{cache_key(item, self.loader)} {self._facts}".encode()).hexdigest()[:24]
        return self.cache_dir / f"{name}.npz"

    def missing(self) -> list[dict[str, Any]]:
        """Items whose file is not there yet."""
        return [dict(item) for item in self.items if not self.path(item).is_file()]

    def save(self, item: Mapping[str, Any], arrays: Arrays) -> None:
        """Write an item's file."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomically(self.path(item), write)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Arrays]]:
        """(item, arrays) of every item that has its file."""
        for item in self.items:
            path = self.path(item)
            if path.is_file():
                with np.load(path, allow_pickle=False) as file:
                    yield dict(item), {name: file[name] for name in file.files}


class ImageArrays(CaseArrays):
    """Image, label and breast masks of every image of a data set: what HDoG and its scoring need.

    Args:
        dataset: items and a chain that leaves image, label, breast and breast_inner.
        cache_dir: folder of the files.
        progress: show a progress bar.
    """

    def __init__(self, dataset: Any, cache_dir: str | Path, progress: bool = True) -> None:
        super().__init__(dataset.data, cache_dir, dataset.transform, "images")
        self.dataset, self.progress = dataset, progress

    def fill(self) -> None:
        """Read what is missing.

        Raises:
            ValueError: an image cannot be read; a search over the others would be another one.
        """
        places = [place for place, item in enumerate(self.items) if not self.path(item).is_file()]
        for place in tqdm(places, unit="image", desc="reading mammograms", disable=not self.progress):
            loaded = self.dataset[place]
            if FAILURE in loaded:
                raise ValueError(f"{loaded[FAILURE]['file']}: {loaded[FAILURE]['reason']}; want a readable image")
            arrays = {name: plane(loaded[name]) for name in ("image", "label", "breast_inner")}
            arrays |= {"breast": plane(loaded["breast"]), "spacing_mm": np.array(spacing_of(loaded["image"]))}
            self.save(self.items[place], arrays)


class MapArrays(CaseArrays):
    """Handler that keeps, of every image, the network's map on the candidates: what the combining needs.

    Args:
        items: of the data list.
        cache_dir: folder of the files.
        loader: the evaluator's preprocessing; leaves image, label, breast and breast_inner.
        objects: finds the candidates; the postprocessing forms the same objects and leaves their map.
        inferer: the evaluator's inferer.
        weights: the network's weight file.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        cache_dir: str | Path,
        loader: Callable,
        objects: CandidateObjects,
        inferer: Any,
        weights: str | Path,
    ) -> None:
        digest = sha256_of(weights) if Path(weights).is_file() else "no weights"
        super().__init__(items, cache_dir, loader, ["maps", objects.hdog, objects.map, inferer, digest])
        self.objects, self.failures = objects, list[dict[str, str]]()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note_failure)

    def __call__(self, engine: Any) -> None:
        """Keep the images just done."""
        by_id = {item["image_id"]: item for item in self.items}
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            item = {**batch, **output}  # preprocessing's masks are in the batch, postprocessing's map in the output
            image, inner = item["image"], plane(item["breast_inner"]).astype(bool)
            spacing_mm = spacing_of(image)
            within = inner & self.objects.candidates(plane(image), inner, spacing_mm[0])
            arrays = {"candidates": within, "map": plane(item["map"])[within].astype(np.float32)}
            arrays |= {"label": plane(item["label"]), "breast": plane(item["breast"]).astype(bool)}
            self.save(by_id[batch["image_id"]], arrays | {"spacing_mm": np.array(spacing_mm)})

    def fill(self, evaluator: Any) -> None:
        """Run the network on the images that are missing.

        Raises:
            ValueError: an image failed; a search over the others would be another one.
        """
        if not self.missing():
            logger.info("the maps of all %d images are there", len(self.items))
            return
        evaluator.run()
        if self.failures:
            raise ValueError(f"{self.failures[0]['file']}: {self.failures[0]['reason']}; want a readable image")

    def _note_failure(self, engine: Any) -> None:
        failure = getattr(engine.state, "failure", None)
        if failure is not None:
            self.failures.append(dict(failure))
