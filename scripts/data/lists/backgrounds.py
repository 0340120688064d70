"""A folder of normal mammograms as a data list, split by image number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scripts.data.lists.folder import list_mammograms

#: Numbers divisible by it are testing, those that leave 1 are validation.
FOLD = 5


def background_datalist(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """List a folder of mammograms without findings.

    The last number in a file's name decides the section (`FOLD`); files without one go by their place in the sorted
    list. So pictures keep their section when the folder grows, as long as they are numbered. Several pictures of one
    patient should carry one number.

    Args:
        path: folder (or a single file).

    Returns:
        {"training": [{"image", "label": "", "image_id", "patient"}, ...], "validation": ..., "testing": ...}.
    """
    found: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "testing": []}
    for place, item in enumerate(list_mammograms(path)):
        numbers = re.findall(r"\d+", item["image_id"])
        number = int(numbers[-1]) if numbers else place
        section = {0: "testing", 1: "validation"}.get(number % FOLD, "training")
        found[section].append({**item, "label": "", "patient": item["image_id"], "annotation": "full"})
    return found
