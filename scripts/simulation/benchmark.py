"""Frozen benchmark sets: held-out real backgrounds with simulated MCs, the same ones without, and under single shifts.

    dataset_dir/
      datalist.json            validation and testing, with MCs
      plain.json               the same backgrounds as they are (label "": known to hold no MC)
      shift_<name>.json        testing (`shifted_sections`): `BenchmarkSettings.shifts`, its pixel sizes, monochrome1
      phantoms.json, phantoms/ generated mammograms, validation and testing
      images/ labels/ records/ MG DICOM, PNG {0, 1, 2 = ignore}, JSON (one record per MC)

The sets depend on the backgrounds' bytes, the seed and the settings; all is written into `benchmark.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.common.files import sha256_of, write_atomically, write_json
from scripts.common.objects import label_objects
from scripts.common.resampling import resample, resample_label, resampled_size
from scripts.common.settings import describe
from scripts.data.lists.backgrounds import background_datalist
from scripts.simulation.insertion.domain import Domain, apply_domain
from scripts.simulation.insertion.rendering import insert_mcs
from scripts.simulation.insertion.sampling import InsertionSettings, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, SHAPE_SEEDS, shape_bank
from scripts.simulation.parameters import Parameters, Range, as_objects
from scripts.simulation.phantom.dataset import VERSION as PHANTOM_VERSION
from scripts.simulation.phantom.dataset import phantom_datalist
from scripts.simulation.phantom.dicom import write_phantom_dicom

VERSION = 1

logger = logging.getLogger(__name__)


def _shifts() -> dict[str, Domain]:
    return {
        "gamma_0.6": Domain(gamma=0.6),
        "gamma_1.6": Domain(gamma=1.6),
        "8_bit": Domain(levels=256),
        "half_contrast": Domain(gain=0.5, centre=0.3),
        "blur": Domain(blur=1.0),
        "noise": Domain(noise=0.02, seed=1),
    }


@dataclass(frozen=True)
class BenchmarkSettings(Parameters):
    """What is drawn into the backgrounds, and the shifts that weights must bear.

    Attributes:
        insertion: how MCs are drawn.
        clusters_range: fewest and most clusters of an image.
        singles_rate: mean number of single MCs of an image.
        blur_range_px: sigma of the detector's blur of the MCs.
        margin_px: MCs keep off the skin by the half of a square of 2 x this + 1.
        bits: of the DICOM files.
        shifts: {name: `Domain` or its values}: changes of grey values.
        pixel_shifts: {name: factor on the pixel size}.
    """

    insertion: InsertionSettings = field(default_factory=InsertionSettings)
    clusters_range: tuple[int, int] = (1, 3)
    singles_rate: float = 4.0
    blur_range_px: Range = (0.35, 0.9)
    margin_px: int = 25
    bits: int = 14
    shifts: Mapping[str, Domain] = field(default_factory=_shifts)
    pixel_shifts: Mapping[str, float] = field(default_factory=lambda: {"pixel_0.7": 0.7, "pixel_1.4": 1.4})

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shifts", as_objects(self.shifts, Domain))


def freeze_benchmark(
    background_dir: str | Path,
    dataset_dir: str | Path,
    loader: Callable,
    seed: int = 0,
    spacing_mm: float = 0.07,
    settings: BenchmarkSettings | None = None,
    sections: Sequence[str] = ("validation", "testing"),
    shifted_sections: Sequence[str] = ("testing",),
    phantoms: int = 6,
    phantom_shape: tuple[int, int] = (3328, 2560),
    progress: bool = True,
    patient_pattern: str = "",
) -> dict[str, int]:
    """Write the sets; what exists with the same digest is left as it is.

    Args:
        background_dir: normal mammograms, split by `background_datalist`.
        dataset_dir: folder of the sets.
        loader: chain that reads one item into image [1, rows, cols] in [0, 1].
        seed: image i depends on (seed, its name) only.
        spacing_mm: pixel size that the backgrounds are taken to have.
        settings: what is drawn, and the shifts.
        sections: parts of the backgrounds; with "training" too, the set also serves methods that train on whole images.
        shifted_sections: those of `sections` that are written under each shift, too; () for none.
        phantoms: generated mammograms per section beside the backgrounds, a set of their own; 0 for none.
        phantom_shape: their rows and columns.
        progress: show a progress bar.
        patient_pattern: see `background_datalist`.

    Returns:
        Number of images per list.

    Raises:
        ValueError: an unknown section.
    """
    for key, named in (("sections", sections), ("shifted_sections", shifted_sections)):
        if unknown := set(named) - set(SHAPE_SEEDS):
            raise ValueError(f"{key}: got {sorted(unknown)}; want some of {', '.join(SHAPE_SEEDS)}")
    root = Path(dataset_dir).expanduser()
    writer = _Writer(root, seed, spacing_mm, settings or BenchmarkSettings())
    parts = background_datalist(background_dir, patient_pattern)
    lists: dict[str, dict[str, list[dict[str, Any]]]] = {}
    jobs = [(section, item) for section in sections for item in parts[section]]
    sources = []
    for section, item in tqdm(jobs, desc="benchmark", unit="image", disable=not progress):
        background = np.asarray(loader(dict(item))["image"], np.float32)[0]
        sources.append({"file": Path(item["image"]).name, "section": section, "sha256": sha256_of(item["image"])})
        for name, entry in writer.versions(section, str(item["image_id"]), background, section in shifted_sections):
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
    facts = {"version": VERSION, "seed": seed, "spacing_mm": spacing_mm, "settings": describe(writer.settings)}
    facts |= {"phantoms": phantoms, "phantom_shape": list(phantom_shape), "phantom_version": PHANTOM_VERSION}
    facts |= {"sources": sources}
    write_json(root / "benchmark.json", facts)
    return {name: sum(map(len, sections.values())) for name, sections in lists.items()}


@dataclass(frozen=True, eq=False)
class _Writer:
    """Writes the versions of one background after the other."""

    root: Path
    seed: int
    spacing_mm: float
    settings: BenchmarkSettings

    def versions(
        self, section: str, name: str, background: np.ndarray, shifted: bool
    ) -> list[tuple[str, dict[str, Any]]]:
        """All versions of one background: (name of the list, entry)."""
        settings, spacing_mm = self.settings, self.spacing_mm
        rng = np.random.default_rng([self.seed, SHAPE_SEEDS[section], *name.encode()])
        bank = shape_bank(SHAPE_SEEDS[section])
        allowed = erode_breast(breast_mask(background, spacing_mm), 2 * settings.margin_px + 1)
        clusters = int(rng.integers(*settings.clusters_range, endpoint=True))
        singles = int(rng.poisson(settings.singles_rate))
        mcs = sample_mcs(rng, allowed, spacing_mm, clusters, singles, bank, settings.insertion)
        made = insert_mcs(background, mcs, bank, float(rng.uniform(*settings.blur_range_px)), settings.insertion)
        records = [{**record, "kind": KINDS[int(record["kind"])]} for record in made.records]
        write_json(self.root / "records" / f"{name}.json", {"image_id": name, "section": section, "mcs": records})
        written = [self._write(name, "datalist", made.image, made.label), self._write(name, "plain", background, None)]
        if not shifted:
            return written
        for shift, domain in settings.shifts.items():
            written.append(self._write(name, f"shift_{shift}", apply_domain(made.image, domain), made.label))
        for shift, factor in settings.pixel_shifts.items():
            image = resample(made.image, resampled_size(made.image.shape, 1 / factor))
            label = resample_label(made.label, 1 / factor)
            written.append(self._write(name, f"shift_{shift}", image, label, factor=factor))
        written.append(self._write(name, "shift_monochrome1", made.image, made.label, monochrome1=True))
        return written

    def _write(
        self,
        name: str,
        version: str,
        image: np.ndarray,
        label: np.ndarray | None,
        factor: float = 1.0,
        monochrome1: bool = False,
    ) -> tuple[str, dict[str, Any]]:
        """Write image and label of one version; its list and its entry, with paths relative to the root."""
        stem, bits = f"{name}_{version.removeprefix('shift_')}", self.settings.bits
        count = 0 if label is None else label_objects(label == 1)[1]
        write_phantom_dicom(
            self.root / "images" / f"{stem}.dcm",
            np.round(np.clip(image, 0, 1) * (2**bits - 1)).astype(np.uint16),
            spacing_mm=round(self.spacing_mm * factor, 6),
            laterality="L",
            view="CC",
            seed=0,
            patient_id=name,
            bits=bits,
            comment=f"Real background {name}, {count} simulated microcalcifications",
            monochrome1=monochrome1,
        )
        entry = {"image": f"images/{stem}.dcm", "label": "", "image_id": stem, "patient": name, "annotation": "none"}
        if label is not None:
            entry |= {"label": f"labels/{stem}.png", "annotation": "full"}
            (self.root / "labels").mkdir(parents=True, exist_ok=True)
            encoded = cv2.imencode(".png", label)[1].tobytes()
            write_atomically(self.root / entry["label"], lambda path: path.write_bytes(encoded))
        return version, entry


def _relative(root: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    """A phantom's entry with paths relative to `root`."""
    files = {key: Path(item[key]).relative_to(root).as_posix() for key in ("image", "label")}
    return {key: value for key, value in {**item, **files}.items() if key != "records"}


def _write_list(root: Path, name: str, description: str, entries: Mapping[str, Any]) -> None:
    text = json.dumps({"name": name, "description": description, **entries}, indent=1)
    root.mkdir(parents=True, exist_ok=True)
    write_atomically(root / f"{name}.json", lambda temporary: temporary.write_text(text))
