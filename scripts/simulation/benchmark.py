"""Frozen benchmark sets: held-out real backgrounds with simulated MCs, the same ones without, and under single shifts.

    dataset_dir/
      datalist.json            validation and testing, with MCs
      plain.json               the same backgrounds as they are (label "": known to hold no MC)
      shift_<name>.json        testing (`shifted_sections`): `BenchmarkSettings.shifts`, its pixel sizes, monochrome1
      presentations.json       the sections that are shifted: each image as it is and under every shift
      phantoms.json, phantoms/ generated mammograms, validation and testing
      images/ labels/ records/ MG DICOM, PNG {0, 1, 2 = ignore}, JSON (one record per MC)
      objects/                 where the settings number MCs (`MixtureBenchmark`): uint16 PNG, number of the record

The sets depend on the backgrounds' bytes, the seed and the settings; all is written into `benchmark.json`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.common.checks import check
from scripts.common.files import sha256_of, write_json
from scripts.common.objects import label_objects
from scripts.common.resampling import resample, resample_label, resampled_size
from scripts.common.settings import describe
from scripts.data.lists.backgrounds import background_datalist
from scripts.simulation.insertion.domain import Domain, apply_domain
from scripts.simulation.insertion.rendering import insert_mcs
from scripts.simulation.insertion.sampling import InsertionSettings, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, SHAPE_SEEDS, shape_bank
from scripts.simulation.parameters import Parameters, Range, Rng, named, uniform, whole
from scripts.simulation.phantom.dataset import VERSION as PHANTOM_VERSION
from scripts.simulation.phantom.dataset import phantom_datalist, write_datalist, write_label
from scripts.simulation.phantom.dicom import write_phantom_dicom

Version = tuple[str, dict[str, Any]]
SHIFTS = {
    "gamma_0.6": Domain(gamma=0.6),
    "gamma_1.6": Domain(gamma=1.6),
    "8_bit": Domain(levels=256),
    "half_contrast": Domain(gain=0.5, centre=0.3),
    "blur": Domain(blur=1.0),
    "noise": Domain(noise=0.02, seed=1),
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A background with MCs."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    plain: np.ndarray  # the same without MCs
    label: np.ndarray  # uint8 (rows, cols) {0, 1 = MC, 2 = ignore}
    records: list[dict[str, Any]]  # one per MC
    spacing_mm: float
    objects: np.ndarray | None = None  # int32 (rows, cols), 0 or the number of the MC's record, from 1
    facts: Mapping[str, str] = field(default_factory=dict)  # further texts of the data list's item


@dataclass(frozen=True)
class BenchmarkSettings(Parameters):
    """What is drawn into the backgrounds, and the shifts that weights must bear."""

    insertion: InsertionSettings = field(default_factory=InsertionSettings)  # how MCs are drawn
    clusters_range: tuple[int, int] = (1, 3)  # fewest and most clusters of an image
    singles_rate: float = 4.0  # mean number of single MCs of an image
    blur_range_px: Range = (0.35, 0.9)  # sigma of the detector's blur of the MCs
    margin_px: int = 25  # MCs keep off the skin by the half of a square of 2 x this + 1
    bits: int = 14  # of the DICOM files
    shifts: Mapping[str, Domain] = named(Domain, SHIFTS)  # changes of grey values
    #: {name: factor on the pixel size}.
    pixel_shifts: Mapping[str, float] = field(default_factory=lambda: {"pixel_0.7": 0.7, "pixel_1.4": 1.4})
    intervals: ClassVar[Mapping[str, str]] = {"bits": "[8, 16]", "pixel_shifts": "(0, inf)"}
    version: ClassVar[int] = 1

    def draw(self, rng: Rng, background: np.ndarray, spacing_mm: float, section: str) -> Drawn:
        """Draw MCs into a background, float32 (rows, cols) in [0, 1]."""
        bank = shape_bank(SHAPE_SEEDS[section])
        allowed = erode_breast(breast_mask(background, spacing_mm, dark_fat=False), 2 * self.margin_px + 1)
        clusters, singles = whole(rng, self.clusters_range), int(rng.poisson(self.singles_rate))
        mcs = sample_mcs(rng, allowed, spacing_mm, clusters, singles, bank, self.insertion)
        made = insert_mcs(background, mcs, bank, uniform(rng, self.blur_range_px), self.insertion)
        records = [{**record, "kind": KINDS[int(record["kind"])]} for record in made.records]
        return Drawn(made.image, background, made.label, records, spacing_mm)

    def shifted(self, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The image under each change of grey values, with its name."""
        for name, domain in self.shifts.items():
            yield name, apply_domain(image, domain)


def freeze_benchmark(
    background_dir: str | Path,  # normal mammograms, split by `background_datalist` (with `patient_pattern`)
    dataset_dir: str | Path,
    loader: Callable,  # chain that reads one item into image [1, rows, cols] in [0, 1]
    seed: int = 0,  # image i depends on (seed, its name) only
    spacing_mm: float = 0.07,  # pixel size that the backgrounds are taken to have
    settings: BenchmarkSettings | None = None,
    sections: Sequence[str] = ("validation", "testing"),  # with "training", also for methods that train on whole images
    shifted_sections: Sequence[str] = ("testing",),  # those that are written under each shift, too; () for none
    phantoms: int = 6,  # generated mammograms per section, a set of their own; 0 for none
    phantom_shape: tuple[int, int] = (3328, 2560),  # their rows, columns
    progress: bool = True,
    patient_pattern: str = "",
) -> dict[str, int]:
    """Write the sets, return the number of images per list; what exists with the same digest is left as it is.

    Raises:
        ValueError: an unknown section.
    """
    for key, listed in (("sections", sections), ("shifted_sections", shifted_sections)):
        unknown = sorted(set(listed) - set(SHAPE_SEEDS))
        check(key, unknown, not unknown, f"some of {', '.join(SHAPE_SEEDS)}")
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
    if both := [section for section in sections if section in shifted_sections]:  # as they are and under every shift
        versions = [entries for name, entries in lists.items() if name != "plain"]
        lists["presentations"] = {section: [e for entries in versions for e in entries[section]] for section in both}
    for name, entries in lists.items():
        write_datalist(root / f"{name}.json", name, "Simulated MCs in real mammograms", entries)
    if phantoms:
        train, validate, test = (phantoms if section in sections else 0 for section in SHAPE_SEEDS)
        folder = root / "phantoms"
        made = phantom_datalist(folder, train, validate, test, seed, phantom_shape, spacing_mm, progress=progress)
        lists["phantoms"] = {section: [_relative(root, item) for item in made[section]] for section in sections}
        write_datalist(root / "phantoms.json", "phantoms", "Simulated mammograms", lists["phantoms"])
    else:
        (root / "phantoms.json").unlink(missing_ok=True)
    facts = {
        "version": writer.settings.version,
        "seed": seed,
        "spacing_mm": spacing_mm,
        "settings": describe(writer.settings),
    }
    facts |= {"phantoms": phantoms, "phantom_shape": list(phantom_shape), "phantom_version": PHANTOM_VERSION}
    write_json(root / "benchmark.json", {**facts, "sources": sources})
    return {name: sum(map(len, sections.values())) for name, sections in lists.items()}


@dataclass(frozen=True, eq=False)
class _Writer:
    """Writes the versions of one background after the other."""

    root: Path
    seed: int
    spacing_mm: float
    settings: BenchmarkSettings

    def versions(self, section: str, name: str, background: np.ndarray, shifted: bool) -> Iterator[Version]:
        """Write all versions of one background: (name of the list, entry)."""
        rng = np.random.default_rng([self.seed, SHAPE_SEEDS[section], *name.encode()])
        made = self.settings.draw(rng, background, self.spacing_mm, section)
        write_json(self.root / "records" / f"{name}.json", {"image_id": name, "section": section, "mcs": made.records})
        if made.objects is not None:
            write_label(self.root / "objects" / f"{name}.png", made.objects.astype(np.uint16))
        same = {"spacing_mm": made.spacing_mm, "facts": made.facts}
        yield self._write(name, "datalist", made.image, made.label, **same)
        yield self._write(name, "plain", made.plain, None, **same)
        if not shifted:
            return
        for shift, image in self.settings.shifted(made.image):
            yield self._write(name, f"shift_{shift}", image, made.label, **same)
        for shift, factor in self.settings.pixel_shifts.items():
            image = resample(made.image, resampled_size(made.image.shape, 1 / factor))
            label = resample_label(made.label, 1 / factor)
            spacing_mm = made.spacing_mm * factor
            yield self._write(name, f"shift_{shift}", image, label, **(same | {"spacing_mm": spacing_mm}))
        yield self._write(name, "shift_monochrome1", made.image, made.label, monochrome1=True, **same)

    def _write(self, name: str, version: str, image: np.ndarray, label: np.ndarray | None, **options: Any) -> Version:
        """Write image and label of one version; its list and its entry, with paths relative to the root."""
        stem, bits = f"{name}_{version.removeprefix('shift_')}", self.settings.bits
        count = 0 if label is None else label_objects(label == 1)[1]
        facts, spacing_mm = options.pop("facts"), round(options.pop("spacing_mm"), 6)
        options = {"spacing_mm": spacing_mm, "seed": 0, "patient_id": name, "bits": bits, **options}
        options |= {"comment": f"Real background {name}, {count} simulated microcalcifications"}
        stored = np.round(np.clip(image, 0, 1) * (2**bits - 1)).astype(np.uint16)
        write_phantom_dicom(self.root / "images" / f"{stem}.dcm", stored, laterality="L", view="CC", **options)
        entry = {
            **facts,
            "image": f"images/{stem}.dcm",
            "label": "",
            "image_id": stem,
            "patient": name,
            "annotation": "none",
        }
        if label is not None:
            entry |= {"label": f"labels/{stem}.png", "annotation": "full"}
            write_label(self.root / entry["label"], label)
        return version, entry


def _relative(root: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    """A phantom's entry with paths relative to `root`."""
    files = {key: Path(item[key]).relative_to(root).as_posix() for key in ("image", "label")}
    return {key: value for key, value in {**item, **files}.items() if key != "records"}
