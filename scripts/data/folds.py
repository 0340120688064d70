"""Cross-validation folds of any data list, whatever parts it came in."""

from __future__ import annotations

from scripts.data.splits import PARTS, Datalist, split_datalist


def folded_datalist(datalist: Datalist, folds: int, fold: int, seed: int = 0) -> Datalist:
    """Put the parts of a data list together and split them anew, by patient, for cross-validation.

    Args:
        datalist: {"training": items, ...}, items with "patient".
        folds: number of folds, 3 or more.
        fold: which one is tested; the next one validates, the others train.
        seed: of the shuffle of patients.

    Returns:
        {"training": items, "validation": items, "testing": items}.
    """
    items = [item for part in PARTS for item in datalist.get(part, [])]
    return split_datalist(items, 0.0, 0.0, seed, folds, fold)
