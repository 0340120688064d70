"""What every data list shares: the form of its items, and the checks of patients and images."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.data.reader.errors import MammogramReadError
from scripts.data.splits import Datalist, Item


def make_item(
    image: str | Path,
    label: str | Path | Sequence[str | Path] | None,  # annotation file or files; None for an image without MCs
    *,
    patient: str,
    image_id: str,  # its name in results
    annotation: str,  # "full", "clusters_only" or "none"
    laterality: str = "",  # side, by its first letter
    view: str = "",  # "CC", "MLO", ...
    **more: str,
) -> Item:
    """One image of a data list, as docs/data.md describes it; `more` are further texts, such as the density."""
    label = "" if label is None else label
    return {
        **more,
        "image": str(image),
        "label": str(label) if isinstance(label, str | Path) else [str(path) for path in label],
        "patient": patient,
        "image_id": image_id,
        "laterality": laterality[:1].upper(),
        "view": view.upper(),
        "annotation": annotation,
    }


def check_each_once(source: str | Path, items: Iterable[tuple[str, Item]], keys: Sequence[str]) -> None:
    """MammogramReadError that names both places if two of `items`, as (where it was read, item), agree in a key."""
    seen: dict[tuple[str, str], str] = {}
    for where, item in items:
        for key in keys:
            first = seen.setdefault((key, item[key]), where)
            if first != where:
                raise MammogramReadError(source, f"{key} {item[key]} in {first} and again in {where}", "it once")


def shared_patients(datalist: Datalist) -> dict[str, list[str]]:
    """Patients that stand in several sections -> these sections."""
    homes: dict[str, list[str]] = {}
    for section, items in datalist.items():
        for patient in {item["patient"] for item in items}:
            homes.setdefault(patient, []).append(section)
    return {patient: sections for patient, sections in sorted(homes.items()) if len(sections) > 1}
