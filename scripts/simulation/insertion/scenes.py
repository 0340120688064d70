"""Backgrounds with every kind of calcification in them, each object labelled: to measure how marks are typed.

scene = render_scene(image, sample_scene(rng, allowed, edge, 0.07, bank, SceneSettings()), bank)
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from scripts.common import calcification_kinds as names
from scripts.common.labels import MC
from scripts.common.objects import label_objects
from scripts.simulation.insertion.arteries import ArterySettings, CalcifiedArtery, draw_artery, sample_artery
from scripts.simulation.insertion.clips import Clip, ClipSettings, draw_clip, sample_clip
from scripts.simulation.insertion.ducts import LINEAR, SEGMENTAL, DuctSettings, sample_ducts
from scripts.simulation.insertion.rendering import insert_mcs
from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings, McDraw, Places, place_mc, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, ShapeBank
from scripts.simulation.insertion.strokes import Stroke, draw_strokes
from scripts.simulation.parameters import Parameters, Range, Rng, between, log_between

GROUPED, SINGLE, LARGE = "grouped", "single", "large"


@dataclass(frozen=True)
class SceneSettings(Parameters):
    """What a scene holds. Numbers are per image; lengths in mm."""

    arteries: int = 1
    clips: int = 2
    linear: int = 1  # clusters
    segmental: int = 1
    grouped: int = 1
    singles: int = 4
    large: int = 2  # coarse, popcorn and rim
    large_range_mm: Range = (1.0, 3.0)  # their diameter
    skin: int = 3  # streaks along the skin
    skin_depth_range_mm: Range = (1.7, 2.6)
    skin_length_range_mm: Range = (0.8, 2.5)
    keep_off_mm: float = 1.5  # MCs from arteries and metal, so that a mark belongs to one of them
    blur_range_px: Range = (0.35, 0.9)  # sigma of the detector's blur
    artery: ArterySettings = field(default_factory=ArterySettings)
    clip: ClipSettings = field(default_factory=ClipSettings)
    duct: DuctSettings = field(default_factory=DuctSettings)
    insertion: InsertionSettings = field(default_factory=InsertionSettings)


@dataclass(frozen=True)
class SceneSpec:
    """What to draw."""

    arteries: tuple[CalcifiedArtery, ...]
    clips: tuple[Clip, ...]
    skin: tuple[Stroke, ...]
    mcs: tuple[InsertedMc, ...]
    groups: tuple[str, ...]  # of cluster i at index i; of 0 "single"; "large" ones have a number of their own
    blur_px: float


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """A background with labelled calcifications."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    label: np.ndarray  # uint8 (rows, cols) {0, 1 = MC, 2 = ignore}: what a reader would outline
    objects: np.ndarray  # int32 (rows, cols), 0 or the number of the object
    #: One per object: number, kind (scripts/common/calcification_kinds.py), group ("grouped", "linear", "segmental",
    #: "single", "large", or the form of what is no MC), visible (False for MCs labelled 2).
    records: list[dict[str, Any]]


def sample_scene(
    rng: Rng, allowed: np.ndarray, spacing_mm: float, bank: ShapeBank, settings: SceneSettings
) -> SceneSpec:
    """Draw a scene with all centres where `allowed`, bool (rows, cols): the breast where MCs are looked for."""
    taken = np.zeros(allowed.shape, np.uint8)
    arteries = [sample_artery(rng, allowed, spacing_mm, settings.artery) for _ in range(settings.arteries)]
    found = [artery for artery in arteries if artery is not None]
    for artery in found:
        for line, gap in zip(artery.centrelines, artery.gaps, strict=True):
            points = np.round(np.array(line)[:, ::-1]).astype(np.int32)
            cv2.polylines(taken, [points], False, 1, round(gap + 2 * settings.keep_off_mm / spacing_mm))
    clips = []
    for _ in range(settings.clips):
        clip = sample_clip(rng, allowed & (taken == 0), spacing_mm, settings.clip)
        if clip is not None:
            clips.append(clip)
            for line in clip.lines:
                points = np.round(np.array(line)[:, ::-1]).astype(np.int32)
                cv2.polylines(taken, [points], False, 1, round(clip.width + 2 * settings.keep_off_mm / spacing_mm))
    free = allowed & (taken == 0)
    mcs: list[InsertedMc] = []
    groups = [SINGLE]
    for kind, count in ((LINEAR, settings.linear), (SEGMENTAL, settings.segmental)):
        for _ in range(count):
            number = len(groups)
            sample_ducts(rng, free, spacing_mm, kind, number, bank, settings.duct, settings.insertion, mcs)
            groups.append(kind)
    others = sample_mcs(rng, free, spacing_mm, settings.grouped, settings.singles, bank, settings.insertion)
    for mc in others:
        moved = replace(mc, cluster=mc.cluster + len(groups) - 1 if mc.cluster else 0)
        place_mc(moved, mcs, free, settings.insertion.gap_px)
    groups += [GROUPED] * settings.grouped
    for _ in range(settings.large):
        large = _large(rng, free, spacing_mm, bank, settings)
        if large is not None:
            place_mc(replace(large, cluster=len(groups)), mcs, free, 4 * settings.insertion.gap_px)
    skin = tuple(_skin(rng, allowed, spacing_mm, settings))
    blur = between(rng, settings.blur_range_px)
    return SceneSpec(tuple(found), tuple(clips), skin, tuple(mcs), (*groups, LARGE), blur)


def render_scene(image: np.ndarray, spec: SceneSpec, bank: ShapeBank, settings: SceneSettings) -> LabelledScene:
    """Draw a scene into a [0, 1] image, float32 (rows, cols)."""
    objects, records = np.zeros(image.shape, np.int32), list[dict[str, Any]]()

    def add(mask: np.ndarray, kind: str, group: str, visible: bool = True) -> None:
        objects[mask & (objects == 0)] = len(records) + 1
        records.append({"number": len(records) + 1, "kind": kind, "group": group, "visible": visible})

    made = insert_mcs(image, spec.mcs, bank, spec.blur_px, settings.insertion)
    numbers, _ = label_objects(made.label > 0)
    for record in made.records:
        body = numbers == _number_at(numbers, record)
        group = spec.groups[min(int(record["cluster"]), len(spec.groups) - 1)]
        kind = KINDS[int(record["kind"])]
        is_large = group == LARGE
        named = (names.RIM if kind == "rim" else names.COARSE) if is_large else names.INDIVIDUAL
        add(body, named, group, record["label"] == MC)
    result = made.image
    for artery in spec.arteries:
        result, _, vessel = draw_artery(result, artery, spec.blur_px)
        add(vessel, names.VASCULAR, "artery")
    base = cv2.GaussianBlur(result, (0, 0), 4.0)
    for stroke in spec.skin:
        result, mask = draw_strokes(result, [stroke], spec.blur_px, base)
        add(mask, names.SKIN_LINE, "skin")
    result = np.clip(result, 0, 1)
    for clip in spec.clips:
        result, mask = draw_clip(result, clip, spec.blur_px)
        objects[mask] = 0
        add(mask, names.METAL, clip.form)
    return LabelledScene(result, made.label, objects, records)


def _number_at(numbers: np.ndarray, record: dict[str, float]) -> int:
    """Number of the labelled component at or next to an MC's centre; -1 where another MC hid it."""
    row, col = round(record["row"]), round(record["col"])
    window = numbers[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
    present = window[window > 0]
    return int(np.bincount(present).argmax()) if present.size else -1


def _large(
    rng: Rng, allowed: np.ndarray, spacing_mm: float, bank: ShapeBank, settings: SceneSettings
) -> InsertedMc | None:
    """A coarse, popcorn or rim calcification."""
    places = Places(allowed)
    if not len(places):
        return None
    row, col = places.draw(rng).tolist()
    kind = str(rng.choice(["coarse", "rim"]))
    diameter = log_between(rng, settings.large_range_mm)
    draw = McDraw(rng, spacing_mm, bank, settings.insertion)
    mc = draw.mc(row, col, 0.0, draw.gain(), KINDS.index(kind), 0)
    thickness = diameter * (0.25 if kind == "rim" else 0.5)
    return replace(mc, diameter=diameter / spacing_mm, thickness_mm=thickness, aspect=min(mc.aspect, 1.3))


def _skin(rng: Rng, allowed: np.ndarray, spacing_mm: float, settings: SceneSettings) -> list[Stroke]:
    """Streaks along the skin: just inside the region, parallel to its outline."""
    padded = np.pad(allowed, 1, mode="edge").astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    normal_row, normal_col = np.gradient(cv2.GaussianBlur(depth, (0, 0), 5))
    depth_mm = depth * spacing_mm
    low, high = settings.skin_depth_range_mm
    reach = np.clip((low - 1.575, high - 1.575), 0.1, None)  # the region is the breast less 1.575 mm
    places = Places((depth_mm >= reach[0]) & (depth_mm <= reach[1]))
    strokes: list[Stroke] = []
    for _ in range(settings.skin if len(places) else 0):
        row, col = places.draw(rng).tolist()
        angle = math.atan2(normal_col[row, col], -normal_row[row, col])  # along the outline: (row, col) = (sin, cos)
        half = log_between(rng, settings.skin_length_range_mm) / 2 / spacing_mm
        line = tuple((row + t * half * math.sin(angle), col + t * half * math.cos(angle)) for t in (-1.0, 0.0, 1.0))
        width = rng.uniform(0.2, 0.35) / spacing_mm
        strokes.append(Stroke(line, width, 0.2, rng.uniform(0.8, 1.6), 0.3, 2.0, int(rng.integers(2**31))))
    return strokes
