"""Backgrounds with what parting and the skin line are hard for: touching, large, and superficial microcalcifications.

Every MC keeps a number of its own, also where it touches another one: a label image would join them.

    scene = render_slices(image, sample_slices(rng, breast, 0.07, bank, SliceSettings()), bank, SliceSettings())
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from scripts.common.labels import IGNORE, MC
from scripts.common.objects import fill_holes
from scripts.simulation.insertion.rendering import WHITE_RANGE, local_noise, mc_signal
from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings, McDraw, Places, place_mc
from scripts.simulation.insertion.shapes import KINDS, ShapeBank
from scripts.simulation.parameters import Parameters, Range, Rng, between, log_between
from scripts.simulation.phantom.calcifications import clip_window

PAIR, TRIPLE, SINGLE, LARGE, SKIN, CLUSTER = "pair", "triple", "single", "large", "skin", "cluster"
#: Kinds of MCs that touch: of solid ones it is clear how many they are.
SOLID = ("punctate", "pleomorphic", "lumpy")
STEP_PX = 0.25  # by which an MC is moved towards another one until they touch


@dataclass(frozen=True)
class SliceSettings(Parameters):
    """What a scene holds. Numbers are per image; lengths in mm."""

    pairs: int = 6  # of touching MCs
    triples: int = 3
    singles: int = 8  # of every kind, apart: these must not be parted
    large: int = 4  # coarse, popcorn and rim
    near_skin: int = 6  # single MCs
    clusters: int = 2  # of MCs that do not touch, as in the benchmark
    touching_range_mm: Range = (0.25, 0.7)  # their diameters
    large_range_mm: Range = (1.0, 3.0)
    depth_mm: float = 1.6  # of all but those near the skin, at least
    skin_depth_range_mm: Range = (0.3, 1.5)
    keep_off_mm: float = 2.0  # between what does not touch
    blur_range_px: Range = (0.35, 0.9)  # sigma of the detector's blur
    insertion: InsertionSettings = field(default_factory=InsertionSettings)


@dataclass(frozen=True)
class SliceSpec:
    """What to draw."""

    mcs: tuple[InsertedMc, ...]  # `cluster` is the number of their group, from 1
    groups: tuple[str, ...]  # slice of group i at index i - 1; each MC of a cluster is a group
    blur_px: float


@dataclass(frozen=True, eq=False)
class SliceScene:
    """A background with numbered MCs."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    objects: np.ndarray  # int32 (rows, cols), 0 or the number of the MC, from 1
    label: np.ndarray  # uint8 (rows, cols) {0, 1 = MC, 2 = ignore}: 2 where a group has a faint MC
    #: One per MC: number, group (number), slice ("pair", ...), kind (of `KINDS`), visible (False: its group is ignored)
    records: list[dict[str, Any]]


def sample_slices(
    rng: Rng, breast: np.ndarray, spacing_mm: float, bank: ShapeBank, settings: SliceSettings
) -> SliceSpec:
    """Draw a scene in a breast, bool (rows, cols); less where there is no room."""
    padded = np.pad(breast, 1, mode="edge").astype(np.uint8)  # beyond the image the breast goes on
    depth_mm = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] * spacing_mm
    low, high = settings.skin_depth_range_mm
    deep = Places(depth_mm >= settings.depth_mm)
    shallow = Places((depth_mm >= low) & (depth_mm <= high))
    blur = between(rng, settings.blur_range_px)
    draw = _Draw(rng, spacing_mm, McDraw(rng, spacing_mm, bank, settings.insertion), settings, blur)
    mcs: list[InsertedMc] = []
    groups: list[str] = []
    wanted = {LARGE: settings.large, TRIPLE: settings.triples, PAIR: settings.pairs, SINGLE: settings.singles}
    for name, count in (wanted | {SKIN: settings.near_skin}).items():
        for _ in range(count):
            found = draw.group(name, shallow if name == SKIN else deep, mcs)
            mcs += [replace(mc, cluster=len(groups) + 1) for mc in found]
            groups += [name] if found else []
    for _ in range(settings.clusters if len(deep) else 0):
        before = len(mcs)
        for mc in draw.mcs.cluster(0, deep):
            place_mc(mc, mcs, breast, settings.insertion.gap_px)
        mcs[before:] = [replace(mc, cluster=len(groups) + 1 + n) for n, mc in enumerate(mcs[before:])]
        groups += [CLUSTER] * (len(mcs) - before)
    return SliceSpec(tuple(mcs), tuple(groups), blur)


def render_slices(image: np.ndarray, spec: SliceSpec, bank: ShapeBank, settings: SliceSettings) -> SliceScene:
    """Draw a scene into a [0, 1] image, float32 (rows, cols). A pixel belongs to the MC that adds most to it."""
    noise, base = local_noise(image), cv2.GaussianBlur(image, (0, 0), 4.0)
    added, most, objects = np.zeros_like(image), np.zeros_like(image), np.zeros(image.shape, np.int32)
    records: list[dict[str, Any]] = []
    for number, mc in enumerate(spec.mcs, start=1):
        top, left, signal = mc_signal(mc, bank, spec.blur_px)
        window, part = clip_window(top, left, signal.shape, image.shape)
        row, col = np.clip((round(mc.row), round(mc.col)), 0, np.subtract(image.shape, 1)).tolist()  # some touch beyond
        damping = min(1.0, max(0.0, (1.0 - float(base[row, col])) / WHITE_RANGE))
        signal = signal[part] * np.float32(mc.gain * damping)
        added[window] += signal
        own = _body(signal) & ((signal > most[window]) | (objects[window] == 0))
        objects[window][own] = number
        most[window][own] = signal[own]
        cnr = float(signal.max(initial=0)) / max(float(noise[row, col]), 1e-6)
        record = {"number": number, "group": mc.cluster, "slice": spec.groups[mc.cluster - 1]}
        record |= {"kind": KINDS[int(bank.kind[mc.shape])], "visible": cnr >= settings.insertion.visible_cnr}
        records.append(record)
    faint = {record["group"] for record in records if not record["visible"]}
    table = np.array([0, *(IGNORE if record["group"] in faint else MC for record in records)], np.uint8)
    records = [record | {"visible": record["group"] not in faint} for record in records]
    return SliceScene(np.clip(image + added, 0, 1), objects, table[objects], records)


@dataclass(frozen=True, eq=False)
class _Draw:
    """Draws of one image's groups."""

    rng: Rng
    spacing_mm: float
    mcs: McDraw
    settings: SliceSettings
    blur_px: float

    def group(self, name: str, places: Places, placed: list[InsertedMc]) -> list[InsertedMc]:
        """The MCs of a group of a slice, clear of those placed; none where no place was found in 100 tries."""
        first = self._mc(name)
        for _ in range(100 if len(places) else 0):
            row, col = (places.draw(self.rng) + self.rng.uniform(-0.5, 0.5, 2)).tolist()
            reach = first.diameter * {PAIR: 2, TRIPLE: 3}.get(name, 1) + self.settings.keep_off_mm / self.spacing_mm
            if all(math.hypot(row - mc.row, col - mc.col) > reach + mc.diameter for mc in placed):
                break
        else:
            return []
        found = [replace(first, row=row, col=col)]
        while len(found) < {PAIR: 2, TRIPLE: 3}.get(name, 1):
            found.append(self._touching(found, replace(self._mc(name), gain=first.gain)))
        return found

    def _mc(self, name: str) -> InsertedMc:
        rng, settings, draw = self.rng, self.settings, self.mcs
        gain = draw.gain()
        if name in (SINGLE, SKIN):
            kind = int(rng.choice(len(KINDS), p=settings.insertion.single_shares))
            return draw.mc(0, 0, rng.normal(0, settings.insertion.diameter_sigma), gain, kind, 0)
        kinds, sizes = (("coarse", "rim"), settings.large_range_mm), (SOLID, settings.touching_range_mm)
        names, range_mm = kinds if name == LARGE else sizes
        mc = draw.mc(0, 0, 0.0, gain, KINDS.index(str(rng.choice(names))), 0)
        diameter = log_between(rng, range_mm)
        ratio = mc.thickness_mm / (mc.diameter * self.spacing_mm)
        if name == LARGE:
            ratio = 0.25 if KINDS[int(draw.bank.kind[mc.shape])] == "rim" else 0.5
        aspect = min(mc.aspect, 1.3)
        return replace(mc, diameter=diameter / self.spacing_mm, thickness_mm=diameter * ratio, aspect=aspect)

    def _touching(self, others: list[InsertedMc], mc: InsertedMc) -> InsertedMc:
        """The MC moved, from a random side, to where its body first touches that of another one."""
        anchor, turn = others[-1], self.rng.uniform(0, 2 * math.pi)
        reach = sum(other.diameter for other in others) + 2 * mc.diameter + 4
        side = 2 * math.ceil(reach + mc.diameter + 8) + 1
        origin = round(anchor.row) - side // 2, round(anchor.col) - side // 2
        taken = np.zeros((side, side), np.uint8)
        for other in others:
            taken |= self._drawn(other, origin, side)
        near = cv2.dilate(taken, np.ones((3, 3), np.uint8))
        for distance in np.arange(reach, 0, -STEP_PX):
            row, col = anchor.row + distance * math.sin(turn), anchor.col + distance * math.cos(turn)
            mc = replace(mc, row=row, col=col)
            if (near & self._drawn(mc, origin, side)).any():
                break
        return mc

    def _drawn(self, mc: InsertedMc, origin: tuple[int, int], side: int) -> np.ndarray:
        top, left, signal = mc_signal(mc, self.mcs.bank, self.blur_px)
        canvas = np.zeros((side, side), np.uint8)
        window, part = clip_window(top - origin[0], left - origin[1], signal.shape, canvas.shape)
        canvas[window] = _body(signal)[part]
        return canvas


def _body(signal: np.ndarray) -> np.ndarray:
    """Pixels over half of an MC's peak, holes filled, bool."""
    return fill_holes((signal > 0.5 * signal.max(initial=0)).astype(np.int32)) > 0
