"""Phantom data set: images, labels and a datalist in a folder, made once and then only read.

    dataset_dir/
      images/<id>.dcm        MG For Presentation
      labels/<id>.png        uint8 0 / 1 / 2 = ignore (MCs too faint to be labelled)
      labels/<id>.json       one record per MC, file sizes and the hash of what made them
      datalist.json          MONAI decathlon style, relative paths; written last

Every file is written to a temporary name and renamed, so an interrupted run continues where it stopped. An image is
made again when its JSON is missing, names another hash, or gives sizes that the files do not have.
"""

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from scripts.common.checks import check
from scripts.common.files import write_atomically
from scripts.common.ranks import first_before_others, is_first
from scripts.common.settings import describe
from scripts.simulation.phantom.dicom import write_phantom_dicom
from scripts.simulation.phantom.parameters import PhantomSettings
from scripts.simulation.phantom.rendering import render
from scripts.simulation.phantom.sampling import sample_spec

VERSION = 6  # raise when the generator's pictures change, so that old folders are made again
SPLITS = ("training", "validation", "testing")
_MOST_WORKERS = 8  # an image needs about 0.9 GiB while it is made

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhantomJob:
    """Everything that one image depends on, and its name."""

    image_id: str
    patient: str
    split: str
    seed: int
    index: int
    options: dict[str, Any]  # of `sample_spec`

    def digest(self) -> str:
        """Hash of the job and of the generator's version; the default settings leave no trace in it."""
        job, settings = {**vars(self), **self.options}, self.options["settings"]
        facts: list[Any] = [VERSION, {name: job[name] for name in job.keys() - {"options", "settings"}}]
        facts += [describe(settings)] if settings != PhantomSettings() else []
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def files(self, root: str | Path = "") -> dict[str, Path]:
        """Paths of image, label and records, in the order in which they are written."""
        name, images, labels = self.image_id, Path(root, "images"), Path(root, "labels")
        return {"image": images / f"{name}.dcm", "label": labels / f"{name}.png", "records": labels / f"{name}.json"}

    def item(self, root: str | Path = "") -> dict[str, Any]:
        """Entry of the data list."""
        files = {key: str(path) for key, path in self.files(root).items()}
        facts = {key: self.options[key] for key in ("laterality", "view", "density")}
        return {**files, "patient": self.patient, "image_id": self.image_id, **facts, "annotation": "full"}


def phantom_datalist(
    dataset_dir: str | Path,  # made if missing
    training: int = 24,  # images per split
    validation: int = 6,
    testing: int = 6,
    seed: int = 0,  # equal seeds and parameters give equal files
    shape: tuple[int, int] = (3328, 2560),
    spacing_mm: float = 0.07,
    empty_fraction: float = 0.12,  # share of images without any MC, in [0, 1]; spread over the splits
    workers: int | None = None,  # processes; None for one per core (8 at most), 0 or 1 for this process
    detector: str = "a-Se",
    bits: int = 12,
    min_cnr: float = 4.5,
    settings: PhantomSettings | None = None,
    progress: bool = True,
    four_views: bool = False,  # both breasts of a patient, as screening makes them; else one breast
) -> dict[str, list[dict[str, Any]]]:
    """Make (or find) a phantom data set; returns {split: [item, ...]}, paths joined with `dataset_dir`.

    Two images (CC and MLO of one breast), or four, make a patient with one study, and a patient is in one split only; a
    number that does not go up leaves a patient with fewer. The arguments without a comment are those of `sample_spec`.

    Raises:
        ValueError: for a negative count or an `empty_fraction` outside [0, 1].
    """
    counts = {"training": training, "validation": validation, "testing": testing}
    for name, count in counts.items():
        check(name, count, count >= 0, "0 or more images")
    check("empty_fraction", empty_fraction, 0.0 <= empty_fraction <= 1.0, "0 to 1")
    options = {"spacing_mm": float(spacing_mm), "detector": detector, "bits": int(bits), "min_cnr": float(min_cnr)}
    options |= {"shape": (int(shape[0]), int(shape[1])), "settings": settings or PhantomSettings()}
    jobs = phantom_jobs(counts, seed, empty_fraction, four_views, **options)
    root = Path(dataset_dir).expanduser()
    is_ours = any((root / name).exists() for name in ("images", "datalist.json"))
    if root.is_dir() and any(root.iterdir()) and not is_ours:
        raise ValueError(f"dataset_dir: got {root}, which holds other files; want a new, empty or phantom folder")
    with first_before_others():
        _generate(root, [job for job in jobs if not _is_complete(root, job)], workers, progress)
    splits = {split: [job for job in jobs if job.split == split] for split in SPLITS}
    relative, joined = ({key: [job.item(at) for job in ours] for key, ours in splits.items()} for at in (Path(), root))
    if is_first():
        write_datalist(root / "datalist.json", "phantom", "Simulated mammograms", relative)
    return joined


def phantom_images(dataset_dir: str | Path, count: int = 2, seed: int = 0, **options: Any) -> list[dict[str, Any]]:
    """`count` phantom images as a flat list of items, for a demo; options as for `phantom_datalist`."""
    return phantom_datalist(dataset_dir, training=0, validation=0, testing=count, seed=seed, **options)["testing"]


def phantom_jobs(
    counts: dict[str, int], seed: int, empty_fraction: float, four_views: bool = False, **options: Any
) -> list[PhantomJob]:
    """Jobs of all splits. An image depends on seed, split and its place only, so growing a split keeps the rest."""
    settings = options.setdefault("settings", PhantomSettings())
    jobs, of_patient = [], 4 if four_views else 2
    for split_number, split in enumerate(SPLITS):
        for place in range(counts[split]):
            number = place // of_patient
            rng = _generator(seed, split_number, number)  # one per patient
            density = str(rng.choice(list(settings.densities), p=settings.density_shares))
            laterality, view = str(rng.choice(["L", "R"])), ("CC", "MLO")[place % 2]
            laterality = "RL"[place % 4 // 2] if four_views else laterality
            patient = f"P{split_number}{number:04d}"
            # evenly spread: image k is empty when the running total of the share passes a whole number
            empty = int((place + 0.5) * empty_fraction + 0.5) < int((place + 1.5) * empty_fraction + 0.5)
            name, index = f"{patient}_{laterality}_{view}", split_number * 1_000_000 + place
            drawn = {"view": view, "laterality": laterality, "density": density, "with_mcs": not empty}
            jobs.append(PhantomJob(name, patient, split, seed, index, drawn | options))
    return jobs


def _generator(*seeds: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seeds)))


def _is_complete(root: Path, job: PhantomJob) -> bool:
    """Whether the image's three files exist, come from this job, and have the sizes they were written with."""
    image, label, records = job.files(root).values()
    try:
        facts = json.loads(records.read_text())
        sizes = [image.stat().st_size, label.stat().st_size]
    except (OSError, ValueError):
        return False
    return bool(facts.get("digest") == job.digest() and facts.get("sizes") == sizes)


def _generate(root: Path, jobs: list[PhantomJob], workers: int | None, progress: bool) -> None:
    if not jobs:
        return
    logger.info("making %d phantom image(s) in %s", len(jobs), root)
    processes = min(len(jobs), min(os.cpu_count() or 1, _MOST_WORKERS) if workers is None else workers)
    bar: dict[str, Any] = {"total": len(jobs), "desc": "phantom images", "unit": "image", "disable": not progress}
    if processes <= 1 or multiprocessing.current_process().daemon:  # a daemon may not have children
        for job in tqdm(jobs, **bar):
            make_image(root, job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        futures = [pool.submit(make_image, root, job) for job in jobs]
        for future in tqdm(as_completed(futures), **bar):
            future.result()


def make_image(root: Path, job: PhantomJob) -> str:
    """Render one job and write its three files, the JSON that completes it last; returns the image id."""
    spec = sample_spec(_generator(job.seed, job.index), **job.options)
    phantom = render(spec)
    image, label, records = job.files(root).values()
    options: dict[str, Any] = {"spacing_mm": spec.spacing_mm, "laterality": spec.laterality, "view": spec.view}
    options |= {"thickness_mm": spec.thickness_mm, "bits": spec.presentation.bits, "patient_id": job.patient}
    comment = f"Density {spec.density}; {sum(mc.labelled for mc in phantom.mcs)} labelled microcalcifications"
    kind = "DIRECT" if spec.detector.kind == "a-Se" else "SCINTILLATOR"
    write_phantom_dicom(image, phantom.image, **options, seed=job.seed, detector_type=kind, comment=comment)
    write_label(label, phantom.mask)
    facts: dict[str, Any] = {"digest": job.digest(), "sizes": [image.stat().st_size, label.stat().st_size]}
    facts |= {"image_id": job.image_id, "spacing_mm": spec.spacing_mm, "density": spec.density}
    area_cm2 = float(phantom.breast.sum()) * spec.spacing_mm**2 / 100
    facts |= {"thickness_mm": round(spec.thickness_mm, 2), "beta": round(spec.texture.beta, 4)}
    facts |= {"breast_cm2": round(area_cm2, 3), "mcs": phantom.records()}
    write_atomically(records, lambda path: path.write_text(json.dumps(facts, indent=1)))
    return job.image_id


def write_label(path: Path, mask: np.ndarray) -> None:
    """Write a label, uint8 (rows, cols), as PNG."""
    ok, encoded = cv2.imencode(".png", mask)
    if not ok:
        raise ValueError(f"{path}: got a mask that cannot be encoded; want uint8 of two axes")
    write_atomically(path, lambda temporary: temporary.write_bytes(encoded.tobytes()))


def write_datalist(path: Path, name: str, description: str, entries: Mapping[str, Any]) -> None:
    """Write a data list of MONAI's decathlon style; one of the same content is left as it is."""
    text = json.dumps({"name": name, "description": description, **entries}, indent=1)
    if not path.is_file() or path.read_text() != text:
        write_atomically(path, lambda temporary: temporary.write_text(text))
