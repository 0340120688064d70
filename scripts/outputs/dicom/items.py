"""Content items of structured reports in one line each: highdicom's value types, relationship first, children last.

Coordinates are given as (row, col) with pixel centres at integers, as everywhere in this bundle; a SCOORD has (column,
row) with the corner of the first pixel at the origin (PS3.3 C.18.6), so its pixel centres lie at halves.
"""

from typing import Any

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    DateContentItem,
    ImageContentItem,
    NumContentItem,
    ScoordContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from scripts.outputs.dicom.codes import concept

CONTAINS, PROPERTY, MODIFIER = "CONTAINS", "HAS PROPERTIES", "HAS CONCEPT MOD"
OBSERVATION, ACQUISITION = "HAS OBS CONTEXT", "HAS ACQ CONTEXT"
INFERRED, SELECTED = "INFERRED FROM", "SELECTED FROM"


def with_children(item: Dataset, *children: Dataset) -> Dataset:
    """The item with children, by value or by reference."""
    if children:  # not by attribute: highdicom refuses items by reference
        item.add_new("ContentSequence", "SQ", list(children))
    return item


def code(relationship: str, name: Code, value: Code, *children: Dataset) -> Dataset:
    """CODE."""
    return with_children(CodeContentItem(concept(name), concept(value), relationship), *children)


def text(relationship: str, name: Code, value: str) -> Dataset:
    """TEXT."""
    return TextContentItem(concept(name), value, relationship)


def uid(relationship: str, name: Code, value: str) -> Dataset:
    """UIDREF."""
    return UIDRefContentItem(concept(name), value, relationship)


def date(relationship: str, name: Code, value: Any) -> Dataset:
    """DATE."""
    return DateContentItem(concept(name), value, relationship)


def number(relationship: str, name: Code, value: float, unit: Code, *children: Dataset) -> Dataset:
    """NUM."""
    return with_children(NumContentItem(concept(name), value, concept(unit), None, relationship), *children)


def container(relationship: str | None, name: Code, *children: Dataset, template: str | None = None) -> Dataset:
    """CONTAINER."""
    return with_children(
        ContainerContentItem(concept(name), template_id=template, relationship_type=relationship), *children
    )


def point(relationship: str, name: Code, row: float, col: float, image: Dataset) -> Dataset:
    """SCOORD of one point of an image that is referred to."""
    item = ScoordContentItem(concept(name), "POINT", to_scoord([(row, col)]), None, None, relationship)
    return with_children(item, image)


def polygon(relationship: str, name: Code, corners: Any, image: Dataset) -> Dataset:
    """SCOORD of a closed polygon, (k, 2) corners, of an image that is referred to."""
    item = ScoordContentItem(concept(name), "POLYLINE", closed(to_scoord(corners)), None, None, relationship)
    return with_children(item, image)


def image_item(relationship: str, header: Dataset, *children: Dataset) -> Dataset:
    """IMAGE. highdicom wants a name ("Source"), templates have none: it may be deleted in the end."""
    classes = header.SOPClassUID, header.SOPInstanceUID
    return with_children(
        ImageContentItem(concept(codes.SCT.Source), *classes, relationship_type=relationship), *children
    )


def reference(relationship: str, *place: int) -> Dataset:
    """An item by reference: its place in the tree, 1-based, from the root (1)."""
    item = Dataset()
    item.RelationshipType, item.ReferencedContentItemIdentifier = relationship, list(place)
    return item


def to_scoord(places: Any) -> np.ndarray:
    """Coordinates of a SCOORD, (k, 2) column and row, of places (row, col) with pixel centres at integers."""
    return np.asarray(places, np.float64).reshape(-1, 2)[:, ::-1] + 0.5


def closed(corners: np.ndarray) -> np.ndarray:
    """Corners whose last is the first again."""
    return np.concatenate([corners, corners[:1]])
