"""What is done to data lists: split by patient, so that none has images in two sections; filtered; mixed.

A split depends on the seed and the set of patients only, not on the order of the items or of the file system.
Patients are shuffled within strata of how well their MCs are labelled ("full" > "clusters_only" > "none"), so
that every section gets its share of the few positive ones.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.common.checks import check

logger = logging.getLogger(__name__)

Item = dict[str, Any]  # see docs/data.md; here "patient" counts, and "annotation" where it is given
Datalist = dict[str, list[Item]]  # {"training": items, "validation": items, "testing": items}
ANNOTATIONS = ("full", "clusters_only", "none")  # best first
SECTIONS = ("training", "validation", "testing")


def patient_split(items: Sequence[Item], fractions: Sequence[float], seed: int) -> list[list[Item]]:
    """Split items into parts of the given fractions of the patients.

    There is one fraction per part, not negative, with the sum 1; a fraction of 0 gives an empty part. Counts of
    patients are rounded by largest remainder in every stratum.
    """
    shares = np.asarray(fractions, float)
    valid = (shares >= -1e-9).all() and abs(shares.sum() - 1) <= 1e-6
    check("fractions", list(fractions), valid, "values >= 0 with the sum 1")
    shares = np.maximum(shares, 0)  # 1 - 0.8 - 0.2 is just below 0
    part_of: dict[str, int] = {}
    for patients in _shuffled_strata(items, seed):
        exact = shares * len(patients)
        counts = np.floor(exact + 1e-9).astype(int)
        order = np.argsort(counts - exact, kind="stable")  # largest remainder first, ties to the earlier part
        counts[order[: len(patients) - counts.sum()]] += 1
        part_of.update(zip(patients, np.repeat(np.arange(len(counts)), counts).tolist(), strict=True))
    parts = [[item for item in items if part_of[item["patient"]] == number] for number in range(len(shares))]
    for part, share in zip(parts, shares, strict=True):
        if share > 1e-9 and items and not part:
            logger.warning("A part of fraction %g is empty: only %d patients to split", share, len(part_of))
    return parts


def split_datalist(items: Sequence[Item], validation_fraction: float, test_fraction: float, seed: int) -> Datalist:
    """`patient_split` into the sections of a data list; a fraction of 0 leaves its section empty."""
    fractions = (1 - validation_fraction - test_fraction, validation_fraction, test_fraction)
    return dict(zip(SECTIONS, patient_split(items, fractions, seed), strict=True))


def folded_datalist(datalist: Datalist, folds: int, fold: int, seed: int = 0) -> Datalist:
    """Put the sections of any data list together and split them anew, by patient, for cross-validation.

    Of `folds` parts with nearly equal numbers of patients, number `fold` (from 0) is tested; the next one validates,
    the others train.
    """
    items = [item for section in SECTIONS for item in datalist.get(section, [])]
    patients = [patient for stratum in _shuffled_strata(items, seed) for patient in stratum]
    check("folds", folds, 3 <= folds <= len(patients), f"3 to {len(patients)}, the number of patients")
    check("fold", fold, 0 <= fold < folds, f"0 to {folds - 1}")
    section_of = {fold: "testing", (fold + 1) % folds: "validation"}
    home = {patient: section_of.get(number % folds, "training") for number, patient in enumerate(patients)}
    return {section: [item for item in items if home[item["patient"]] == section] for section in SECTIONS}


def keep_annotated(datalist: Datalist, annotations: Sequence[str]) -> Datalist:
    """Keep the items with these annotations. After a split, so that choosing other items moves no patient."""
    known = not isinstance(annotations, str) and set(annotations) <= set(ANNOTATIONS)
    check("annotations", annotations, known, f"a list of some of {ANNOTATIONS}")
    return {name: [item for item in items if item["annotation"] in annotations] for name, items in datalist.items()}


def mixed_datalist(sources: Sequence[Datalist], repeats: Sequence[int] | None = None) -> Datalist:
    """Join data lists section by section (HDoGReg's fine-tuning mixes two sources, section IV-C).

    A section may be missing. Each source's training items are repeated `repeats` times, to balance a small source.
    """
    if not sources:
        raise ValueError("sources: got none; want at least one data list")
    counts = [1] * len(sources) if repeats is None else list(repeats)
    valid = len(counts) == len(sources) and min(counts) >= 1
    check("repeats", counts, valid, f"{len(sources)} numbers of 1 or more")
    joined: Datalist = {}
    for source, times in zip(sources, counts, strict=True):
        for section, items in source.items():
            copies = times if section == "training" else 1
            joined.setdefault(section, []).extend([dict(item) for _ in range(copies) for item in items])
    return joined


def _shuffled_strata(items: Sequence[Item], seed: int) -> list[list[str]]:
    """Patients by the best annotation of their images, best stratum first, each shuffled by `seed`."""
    best: defaultdict[str, int] = defaultdict(lambda: len(ANNOTATIONS))
    for item in items:
        best[item["patient"]] = min(best[item["patient"]], ANNOTATIONS.index(item.get("annotation", "none")))
    rng = np.random.default_rng(seed)
    strata = [sorted(patient for patient, rank in best.items() if rank == number) for number in range(len(ANNOTATIONS))]
    return [[patients[index] for index in rng.permutation(len(patients))] for patients in strata]
