"""Frozen benchmark sets: held-out real backgrounds with simulated MCs, the same ones plain, and under single shifts.

    dataset_dir/
      datalist.json            validation and testing, with MCs
      plain.json               the same backgrounds as they are (label "": known to hold no MC)
      shift_<name>.json        testing (`shifted_sections`): `SHIFTS` of domain.py, pixel_0.7, pixel_1.4, monochrome1
      phantoms.json, phantoms/ generated mammograms, validation and testing
      images/ labels/ records/ MG DICOM, PNG {0, 1, 2 = ignore}, JSON (one record per MC)

The sets depend on the backgrounds' bytes, the seed and the settings; all is written into `benchmark.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.common.files import sha256_of, write_atomically, write_json
from scripts.common.objects import label_objects
from scripts.data.lists.backgrounds import background_datalist
from scripts.simulation.insertion.domain import SHIFTS, apply_domain
from scripts.simulation.insertion.rendering import insert_mcs
from scripts.simulation.insertion.sampling import InsertionSettings, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, shape_bank
from scripts.simulation.phantom.dataset import VERSION as PHANTOM_VERSION
from scripts.simulation.phantom.dataset import phantom_datalist
from scripts.simulation.phantom.dicom import write_phantom_dicom
from scripts.training.augment import resample

VERSION = 1
BITS = 14
#: Shapes of training, validation and testing are different ones.
SHAPE_SEEDS = {"training": 0, "validation": 1, "testing": 2}
PIXEL_SHIFTS = {"pixel_0.7": 0.7, "pixel_1.4": 1.4}
#: Side of the square that keeps MCs off the skin, px.
MARGIN_PX = 25

logger = logging.getLogger(__name__)


def freeze_benchmark(
    background_dir: str | Path,
    dataset_dir: str | Path,
    loader: Callable,
    seed: int = 0,
    spacing_mm: float = 0.07,
    settings: InsertionSettings | None = None,
    sections: Sequence[str] = ("validation", "testing"),
    shifted_sections: Sequence[str] = ("testing",),
    phantoms: int = 6,
    phantom_shape: tuple[int, int] = (3328, 2560),
    progress: bool = True,
) -> dict[str, int]:
    """Write the sets; what exists with the same digest is left as it is.

    Args:
        background_dir: normal mammograms, split by `background_datalist`.
        dataset_dir: folder of the sets.
        loader: chain that reads one item into image [1, rows, cols] in [0, 1].
        seed: image i depends on (seed, its name) only.
        spacing_mm: pixel size that the backgrounds are taken to have.
        settings: distributions of the MCs.
        sections: parts of the backgrounds; with "training" too, the set also serves methods that train on whole images.
        shifted_sections: those of `sections` that are written under each shift, too; () for none.
        phantoms: generated mammograms per section beside the backgrounds, a set of their own; 0 for none.
        phantom_shape: their rows and columns.
        progress: show a progress bar.

    Returns:
        Number of images per list.

    Raises:
        ValueError: an unknown section.
    """
    for key, named in (("sections", sections), ("shifted_sections", shifted_sections)):
        if unknown := set(named) - set(SHAPE_SEEDS):
            raise ValueError(f"{key}: got {sorted(unknown)}; wanted some of {', '.join(SHAPE_SEEDS)}")
    settings = settings or InsertionSettings()
    root = Path(dataset_dir).expanduser()
    parts = background_datalist(background_dir)
    lists: dict[str, dict[str, list[dict[str, Any]]]] = {}
    jobs = [(section, item) for section in sections for item in parts[section]]
    sources = []
    for section, item in tqdm(jobs, desc="benchmark", unit="image", disable=not progress):
        background = np.asarray(loader(dict(item))["image"], np.float32)[0]
        sources.append({"file": Path(item["image"]).name, "section": section, "sha256": sha256_of(item["image"])})
        shifted = section in shifted_sections
        for name, entry in _write_image(root, section, item, background, seed, spacing_mm, settings, shifted):
            lists.setdefault(name, {}).setdefault(section, []).append(entry)
    for name, entries in lists.items():
        _write_list(root, name, "Simulated MCs in real mammograms", entries)
    if phantoms:
        train, validate, test = (phantoms if section in sections else 0 for section in SHAPE_SEEDS)
        folder = root / "phantoms"
        made = phantom_datalist(folder, train, validate, test, seed, phantom_shape, spacing_mm, progress=progress)
        lists["phantoms"] = {section: [_relative(root, item) for item in made[section]] for section in sections}
        _write_list(root, "phantoms", "Simulated mammograms", lists["phantoms"])
    else:
        (root / "phantoms.json").unlink(missing_ok=True)
    facts = {"version": VERSION, "seed": seed, "spacing_mm": spacing_mm, "settings": vars(settings)}
    facts |= {"phantoms": phantoms, "phantom_shape": list(phantom_shape), "phantom_version": PHANTOM_VERSION}
    facts |= {"sources": sources}
    write_json(root / "benchmark.json", facts)
    return {name: sum(map(len, sections.values())) for name, sections in lists.items()}


def _write_image(
    root: Path,
    section: str,
    item: Mapping[str, Any],
    background: np.ndarray,
    seed: int,
    spacing_mm: float,
    settings: InsertionSettings,
    shifted: bool,
) -> list[tuple[str, dict[str, Any]]]:
    """All versions of one background: (name of the list, entry)."""
    name = str(item["image_id"])
    rng = np.random.default_rng([seed, SHAPE_SEEDS[section], *name.encode()])
    bank = shape_bank(SHAPE_SEEDS[section])
    allowed = erode_breast(breast_mask(background, spacing_mm), 2 * MARGIN_PX + 1)
    clusters, singles = int(rng.integers(1, 4)), int(rng.poisson(4))
    mcs = sample_mcs(rng, allowed, spacing_mm, clusters, singles, bank, settings)
    inserted = insert_mcs(background, mcs, bank, float(rng.uniform(0.35, 0.9)), settings)
    records = [{**record, "kind": KINDS[int(record["kind"])]} for record in inserted.records]

    def write(version: str, image: np.ndarray, label: np.ndarray | None, **options: Any) -> tuple[str, dict[str, Any]]:
        return version, _write_version(root, section, name, version, image, label, spacing_mm, **options)

    write_json(root / "records" / f"{name}.json", {"image_id": name, "section": section, "mcs": records})
    written = [write("datalist", inserted.image, inserted.label), write("plain", background, None)]
    if not shifted:
        return written
    for shift, domain in SHIFTS.items():
        written.append(write(f"shift_{shift}", apply_domain(inserted.image, domain), inserted.label))
    for shift, factor in PIXEL_SHIFTS.items():
        image, label = resample(inserted.image, inserted.label, 1 / factor)
        written.append(write(f"shift_{shift}", image, label, factor=factor))
    written.append(write("shift_monochrome1", inserted.image, inserted.label, monochrome1=True))
    return written


def _write_version(
    root: Path,
    section: str,
    name: str,
    version: str,
    image: np.ndarray,
    label: np.ndarray | None,
    spacing_mm: float,
    factor: float = 1.0,
    monochrome1: bool = False,
) -> dict[str, Any]:
    """Write image and label of one version and return its entry, with paths relative to `root`."""
    stem = f"{name}_{version.removeprefix('shift_')}"
    levels = np.round(np.clip(image, 0, 1) * (2**BITS - 1)).astype(np.uint16)
    count = 0 if label is None else label_objects(label == 1)[1]
    write_phantom_dicom(
        root / "images" / f"{stem}.dcm",
        levels,
        spacing_mm=round(spacing_mm * factor, 6),
        laterality="L",
        view="CC",
        seed=0,
        patient_id=name,
        bits=BITS,
        comment=f"Real background {name}, {count} simulated microcalcifications",
        monochrome1=monochrome1,
    )
    entry = {"image": f"images/{stem}.dcm", "label": "", "image_id": stem, "patient": name, "annotation": "none"}
    if label is not None:
        entry["annotation"] = "full"
        entry["label"] = f"labels/{stem}.png"
        _, encoded = cv2.imencode(".png", label)
        target = root / entry["label"]
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, lambda path: path.write_bytes(encoded.tobytes()))
    return entry


def _relative(root: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    """A phantom's entry with paths relative to `root`."""
    files = {key: Path(item[key]).relative_to(root).as_posix() for key in ("image", "label")}
    return {key: value for key, value in {**item, **files}.items() if key != "records"}


def _write_list(root: Path, name: str, description: str, entries: Mapping[str, Any]) -> None:
    text = json.dumps({"name": name, "description": description, **entries}, indent=1)
    root.mkdir(parents=True, exist_ok=True)
    write_atomically(root / f"{name}.json", lambda temporary: temporary.write_text(text))
