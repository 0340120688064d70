"""Second wave of simulated findings: real-looking clusters, touching, large and rod-like calcifications, MCs near the
skin, calcified arteries and metal, in one image or patch.

spec = sample_mixture(rng, allowed, 0.07, bank, settings); mixture = render_mixture(image, spec, bank, breast)
"""

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from scripts.common.objects import label_objects
from scripts.simulation.insertion.arteries import ArterySettings, CalcifiedArtery, draw_artery, sample_artery_through
from scripts.simulation.insertion.clips import Clip, ClipSettings, draw_clip, sample_clip
from scripts.simulation.insertion.rendering import WHITE_RANGE, filled, mc_signal
from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings, McDraw, Places, place_mc, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, ShapeBank
from scripts.simulation.parameters import Parameters, Range, Rng, between, log_between
from scripts.simulation.phantom.calcifications import clip_window

#: What an MC belongs to, in this order of drawing.
GROUPS = ("clustered", "single", "large", "rod", "near the skin", "touching")


def _real_clusters() -> InsertionSettings:
    return InsertionSettings(diameter_mm=0.47, neighbour_mm=1.05, neighbour_sd=0.3, count=(7, 40))


@dataclass(frozen=True)
class MixtureSettings(Parameters):
    """What is drawn. Rates are mean numbers per image or patch; lengths in mm."""

    small: InsertionSettings = field(default_factory=InsertionSettings)  # clusters and singles of the first wave
    real: InsertionSettings = field(default_factory=_real_clusters)  # clusters as segmented real ones
    real_share: float = 0.6  # of images or patches whose clusters are `real`
    cluster_number_shares: tuple[float, ...] = (0.25, 0.6, 0.15)  # of those with 0, 1, 2, ... clusters
    singles_rate: float = 1.2
    touching_share: float = 0.12  # of MCs that get another one which touches them
    touching_range: Range = (0.8, 1.05)  # distance of the centres over the sum of the radii
    large_rate: float = 0.15
    large_range_mm: Range = (1.0, 3.0)  # equivalent diameter of coarse, popcorn, rim and lucent-centred ones
    rod_rate: float = 0.08
    rod_range_mm: Range = (0.6, 1.6)  # equivalent diameter of rods
    skin_rate: float = 0.3
    skin_range_mm: Range = (0.5, 3.0)  # depth under the skin
    artery_rate: float = 0.3
    clip_rate: float = 0.08
    keep_off_mm: float = 0.7  # MCs from arteries and metal
    blur_range_px: Range = (0.35, 0.9)  # sigma of the detector's blur
    artery: ArterySettings = field(default_factory=ArterySettings)
    clip: ClipSettings = field(default_factory=ClipSettings)


@dataclass(frozen=True)
class MixtureSpec:
    """What to draw."""

    mcs: tuple[InsertedMc, ...]
    groups: tuple[str, ...]  # of each of them, from `GROUPS`
    arteries: tuple[CalcifiedArtery, ...]
    clips: tuple[Clip, ...]
    blur_px: float


@dataclass(frozen=True, eq=False)
class Mixture:
    """An image with findings in it."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    without: np.ndarray  # the same without the MCs
    objects: np.ndarray  # int32 (rows, cols), 0 or the number of the MC, 1..n; touching ones are a pixel apart
    artery: np.ndarray  # bool (rows, cols), calcified vessels with their walls
    records: list[dict[str, float | str]]  # of MC 1..n: row, col, diameter_px, area_px, contrast, cluster, kind, group


def sample_mixture(
    rng: Rng, allowed: np.ndarray, spacing_mm: float, bank: ShapeBank, settings: MixtureSettings, with_mcs: bool = True
) -> MixtureSpec:
    """Draw findings with centres where `allowed`, bool (rows, cols); the other pixels are air, or keep-off."""
    taken, keep_off = np.zeros(allowed.shape, np.uint8), 2 * settings.keep_off_mm / spacing_mm
    found = [
        sample_artery_through(rng, allowed, spacing_mm, settings.artery)
        for _ in range(int(rng.poisson(settings.artery_rate)))
    ]
    arteries = [artery for artery in found if artery is not None]
    for artery in arteries:
        for line, gap in zip(artery.centrelines, artery.gaps, strict=True):
            _take(taken, line, gap + keep_off)
    metal = [
        sample_clip(rng, allowed & (taken == 0), spacing_mm, settings.clip)
        for _ in range(int(rng.poisson(settings.clip_rate)))
    ]
    clips = [clip for clip in metal if clip is not None]
    for clip in clips:
        for line in clip.lines:
            _take(taken, line, clip.width + keep_off)
    blur = between(rng, settings.blur_range_px)
    mcs, groups = _sample_mcs(rng, allowed, taken == 0, spacing_mm, bank, settings) if with_mcs else ([], [])
    return MixtureSpec(tuple(mcs), tuple(groups), tuple(arteries), tuple(clips), blur)


def render_mixture(image: np.ndarray, spec: MixtureSpec, bank: ShapeBank, breast: np.ndarray) -> Mixture:
    """Draw findings into a [0, 1] image, float32 (rows, cols); arteries and metal only where `breast`, bool."""
    without, vessels = image, np.zeros(image.shape, bool)
    for artery in spec.arteries:
        without, _, vessel = draw_artery(without, artery, spec.blur_px)
        vessels |= vessel
    for clip in spec.clips:
        without, metal = draw_clip(without, clip, spec.blur_px)
        vessels &= ~metal
    if spec.arteries or spec.clips:
        without, vessels = np.where(breast, without, image), vessels & breast
    base, added = cv2.GaussianBlur(without, (0, 0), 4.0), np.zeros_like(without)
    objects, records = np.zeros(image.shape, np.int32), list[dict[str, float | str]]()
    for mc, group in zip(spec.mcs, spec.groups, strict=True):
        top, left, signal = mc_signal(mc, bank, spec.blur_px)
        window, part = clip_window(top, left, signal.shape, image.shape)
        damping = min(1.0, max(0.0, (1.0 - float(base[round(mc.row), round(mc.col)])) / WHITE_RANGE))
        signal = signal[part] * np.float32(mc.gain * damping)
        peak = float(signal.max(initial=0.0))
        if peak <= 0:
            continue
        added[window] += signal
        body = _parted(filled(signal > 0.5 * peak), objects[window])
        objects[window][body] = len(records) + 1
        record = {"row": mc.row, "col": mc.col, "diameter_px": mc.diameter, "area_px": int(np.count_nonzero(body))}
        kind = KINDS[int(bank.kind[mc.shape])]
        records.append({**record, "contrast": peak, "cluster": mc.cluster, "kind": kind, "group": group})
    return Mixture(np.clip(without + added, 0, 1), without, objects, vessels, records)


def _parted(body: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """A new object's mask less what belongs to others and the pixels next to them: a seam of one pixel.

    Of one that is in pieces the largest is left, so that every MC is one object.
    """
    if objects.any():
        body = body & (cv2.dilate((objects > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    pieces, count = label_objects(body)
    return pieces == np.bincount(pieces.ravel())[1:].argmax() + 1 if count > 1 else body


def _sample_mcs(
    rng: Rng, inside: np.ndarray, free: np.ndarray, spacing_mm: float, bank: ShapeBank, settings: MixtureSettings
) -> tuple[list[InsertedMc], list[str]]:
    allowed = inside & free
    insertion = settings.real if rng.random() < settings.real_share else settings.small
    clusters = int(rng.choice(len(settings.cluster_number_shares), p=settings.cluster_number_shares))
    singles = int(rng.poisson(settings.singles_rate))
    mcs = sample_mcs(rng, allowed, spacing_mm, clusters, singles, bank, insertion)
    groups = ["clustered" if mc.cluster else "single" for mc in mcs]
    draw = McDraw(rng, spacing_mm, bank, insertion)

    def add(places: Places, group: str, kinds: tuple[str, ...], limits: Range, thickness: Range) -> None:
        if not len(places):
            return
        row, col = places.draw(rng).tolist()
        kind = str(rng.choice(kinds))
        mc = draw.mc(row, col, 0.0, draw.gain(), KINDS.index(kind), 0)
        if limits[1]:
            diameter = log_between(rng, limits)
            mc = replace(mc, diameter=diameter / spacing_mm, thickness_mm=diameter * between(rng, thickness))
        before = len(mcs)
        place_mc(mc, mcs, allowed, insertion.gap_px)
        groups.extend([group] * (len(mcs) - before))

    everywhere = Places(allowed)
    for _ in range(int(rng.poisson(settings.large_rate))):
        add(everywhere, "large", ("coarse", "coarse", "rim", "lumpy"), settings.large_range_mm, (0.15, 0.5))
    for _ in range(int(rng.poisson(settings.rod_rate))):
        add(everywhere, "rod", ("linear",), settings.rod_range_mm, (0.2, 0.5))
    if inside.all() or not settings.skin_rate:
        skin = Places(np.zeros((1, 1), bool))
    else:
        depth_mm = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) * spacing_mm
        low, high = settings.skin_range_mm
        skin = Places(allowed & (depth_mm >= low) & (depth_mm <= high))
    for _ in range(int(rng.poisson(settings.skin_rate))):
        add(skin, "near the skin", ("punctate", "pleomorphic", "lumpy"), (0, 0), (0, 0))
    _add_touching(rng, mcs, groups, allowed, draw, settings)
    return mcs, groups


def _add_touching(
    rng: Rng, mcs: list[InsertedMc], groups: list[str], allowed: np.ndarray, draw: McDraw, settings: MixtureSettings
) -> None:
    """Give a share of the MCs a partner that touches them; the partners are in the loop, too, so that three may."""
    for place, mc in enumerate(mcs):  # grows
        if groups[place] in ("large", "rod") or rng.random() >= settings.touching_share:
            continue
        kind, deviation = int(draw.bank.kind[mc.shape]), float(rng.normal(0, 0.25))
        turn, share = rng.uniform(0, 2 * math.pi), between(rng, settings.touching_range)
        other = draw.mc(0, 0, 0.0, mc.gain, kind, mc.cluster)
        diameter = max(mc.diameter * math.exp(deviation), 3.0)
        distance = share * (mc.diameter + diameter) / 2
        row, col = mc.row + distance * math.sin(turn), mc.col + distance * math.cos(turn)
        thickness = mc.thickness_mm * math.exp(float(rng.normal(0, 0.2)))
        other = replace(other, row=row, col=col, diameter=diameter, thickness_mm=thickness)
        before = [one for one in mcs if one is not mc]
        count = len(before)
        place_mc(other, before, allowed, draw.settings.gap_px)
        if len(before) > count:
            mcs.append(other)
            groups[place] = "touching"
            groups.append("touching")


def _take(taken: np.ndarray, line: tuple[tuple[float, float], ...], width: float) -> None:
    points = np.round(np.array(line)[:, ::-1]).astype(np.int32)
    cv2.polylines(taken, [points], False, 1, max(1, round(width)))
