"""Splits by patient: no patient's images ever stand on two sides.

A split depends on the seed and the set of patients only, not on the order of the items or of the file system.
Patients are shuffled within strata of how well their MCs are labelled ("full" > "clusters_only" > "none"), so
that every part gets its share of the few positive ones.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

Item = dict[str, Any]
Datalist = dict[str, list[Item]]
ANNOTATIONS = ("full", "clusters_only", "none")  # best first
PARTS = ("training", "validation", "testing")


def patient_split(items: Sequence[Item], fractions: Sequence[float], seed: int) -> list[list[Item]]:
    """Split items into parts of the given fractions of the patients.

    Args:
        items: each with "patient" and, optionally, "annotation".
        fractions: one per part, not negative, with the sum 1. Counts of patients are rounded by largest remainder
            in every stratum.
        seed: of the shuffle.

    Raises:
        ValueError: the fractions are negative or do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions: found {list(fractions)}; wanted values >= 0 with the sum 1")
    part_of: dict[str, int] = {}
    for patients in _shuffled_strata(items, seed):
        exact = np.asarray(fractions) * len(patients)
        counts = np.floor(exact + 1e-9).astype(int)
        order = np.argsort(counts - exact, kind="stable")  # largest remainder first, ties to the earlier part
        counts[order[: len(patients) - counts.sum()]] += 1
        part_of.update(zip(patients, np.repeat(np.arange(len(counts)), counts).tolist(), strict=True))
    parts = [[item for item in items if part_of[item["patient"]] == number] for number in range(len(fractions))]
    for part, fraction in zip(parts, fractions, strict=True):
        if fraction > 0 and items and not part:
            logger.warning("A part of fraction %g is empty: only %d patients to split", fraction, len(part_of))
    return parts


def patient_folds(items: Sequence[Item], folds: int, seed: int) -> list[list[Item]]:
    """Split items into `folds` parts of nearly equal numbers of patients for cross-validation.

    Raises:
        ValueError: fewer than 2 folds, or fewer patients than folds.
    """
    strata = _shuffled_strata(items, seed)
    patients = [patient for stratum in strata for patient in stratum]
    if not 2 <= folds <= len(patients):
        raise ValueError(f"folds: found {folds}; wanted 2 to {len(patients)}, the number of patients")
    fold_of = {patient: number % folds for number, patient in enumerate(patients)}
    return [[item for item in items if fold_of[item["patient"]] == fold] for fold in range(folds)]


def split_datalist(
    items: Sequence[Item],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int = 0,
    fold: int = 0,
) -> Datalist:
    """Split items by patient into a data list.

    Args:
        items: see `patient_split`.
        validation_fraction: of the patients. Not used when `folds` > 0.
        test_fraction: of the patients. Not used when `folds` > 0.
        seed: of the shuffle.
        folds: 0 for one split by the fractions; k >= 3 for k-fold cross-validation.
        fold: with `folds`, which fold is tested; the next one validates, the others train.

    Returns:
        {"training": items, "validation": items, "testing": items}.

    Raises:
        ValueError: fractions, `folds` or `fold` out of range.
    """
    if not folds:
        fractions = (1 - validation_fraction - test_fraction, validation_fraction, test_fraction)
        return dict(zip(PARTS, patient_split(items, fractions, seed), strict=True))
    if folds < 3 or not 0 <= fold < folds:
        raise ValueError(f"folds, fold: found {folds}, {fold}; wanted folds >= 3 and 0 <= fold < folds")
    parts = patient_folds(items, folds, seed)
    validation = (fold + 1) % folds
    training = [item for number, part in enumerate(parts) if number not in (fold, validation) for item in part]
    return {"training": training, "validation": parts[validation], "testing": parts[fold]}


def keep_annotated(datalist: Datalist, annotations: Sequence[str]) -> Datalist:
    """Keep the items with these annotations. After a split, so that choosing other items moves no patient.

    Raises:
        ValueError: an unknown annotation.
    """
    unknown = set(annotations) - set(ANNOTATIONS)
    if unknown or isinstance(annotations, str):
        raise ValueError(f"annotations: found {annotations!r}; wanted a list of some of {ANNOTATIONS}")
    return {part: [item for item in items if item["annotation"] in annotations] for part, items in datalist.items()}


def _shuffled_strata(items: Sequence[Item], seed: int) -> list[list[str]]:
    """Patients by the best annotation of their images, best stratum first, each shuffled by `seed`."""
    best: defaultdict[str, int] = defaultdict(lambda: len(ANNOTATIONS))
    for item in items:
        best[item["patient"]] = min(best[item["patient"]], ANNOTATIONS.index(item.get("annotation", "none")))
    rng = np.random.default_rng(seed)
    strata = [sorted(patient for patient, rank in best.items() if rank == wanted) for wanted in range(len(ANNOTATIONS))]
    return [[patients[index] for index in rng.permutation(len(patients))] for patients in strata]
