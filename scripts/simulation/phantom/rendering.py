"""The deterministic half of the phantom: :class:`PhantomSpec` -> image, exact masks, noise-free twin."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from scripts.simulation.phantom.calcifications import assign_instances, mc_patch
from scripts.simulation.phantom.outline import BreastMaps, breast_maps
from scripts.simulation.phantom.physics import (
    MU_ADIPOSE,
    MU_GLANDULAR,
    MU_LIGAMENT,
    MU_MUSCLE,
    MU_SKIN,
    add_noise,
    detector_blur,
    log_image,
    noise_variance,
    present,
    scatter,
)
from scripts.simulation.phantom.spec import PhantomSpec
from scripts.simulation.phantom.structures import bad_pixels, draw_structures, draw_view_marker
from scripts.simulation.phantom.texture import gland_and_septa, power_law_field

#: A detector's mark on a faint MC is larger than the MC: 2 px around it are to be ignored too.
IGNORE_AROUND = np.ones((5, 5), np.uint8)


@dataclass(frozen=True)
class McRecord:
    """One rendered MC, in the final image's pixels.

    Attributes:
        id: value in `Phantom.instances` if `labelled`, counted from 1.
        row, col: centre (px).
        diameter_mm: drawn equivalent diameter.
        area_mm2: labelled area, 0 if not labelled.
        thickness_um: peak thickness along the beam.
        contrast: relative drop of intensity at its strongest pixel, with scatter and blur.
        cnr: that contrast (log units) over the noise of a pixel there.
        cluster: 1, 2, ... or 0 for a scattered single.
        shape: kind of shape.
        labelled: False for an MC below the spec's `min_cnr`.
    """

    id: int
    row: float
    col: float
    diameter_mm: float
    area_mm2: float
    thickness_um: float
    contrast: float
    cnr: float
    cluster: int
    shape: str
    labelled: bool


@dataclass(frozen=True)
class Phantom:
    """A rendered phantom; all arrays (rows, cols).

    Attributes:
        image: uint16 stored values of a presentation image, MCs bright.
        noise_free: float32 [0, 1], the same without noise and bad pixels.
        mask: uint8, 1 where a labelled MC is, 2 (ignore) where one below `min_cnr` is.
        instances: uint16, id of the MC, 0 elsewhere.
        breast: bool, true under the skin line.
        mcs: one record per MC.
    """

    image: np.ndarray
    noise_free: np.ndarray
    mask: np.ndarray
    instances: np.ndarray
    breast: np.ndarray
    mcs: tuple[McRecord, ...]

    def records(self) -> list[dict[str, Any]]:
        """`mcs` as plain dictionaries, for JSON."""
        return [asdict(record) for record in self.mcs]


def _stream(spec: PhantomSpec, number: int) -> np.random.Generator:
    """Independent generator per part, so that one part's changes leave the others as they are."""
    return np.random.Generator(np.random.Philox(key=np.array([spec.seed, number], np.uint64)))


def render(spec: PhantomSpec) -> Phantom:
    """Render a phantom. Pure: equal specs give equal bytes."""
    breast = breast_maps(spec)
    air = float(spec.detector.quanta * math.exp(_fat_level(spec)))
    primary = np.exp(-_attenuation(spec, breast))
    primary = detector_blur(primary, spec.detector.blur_px)
    patches = _apply_mcs(spec, primary)
    fraction = np.float32(spec.detector.scatter_fraction)
    direct = (1 - fraction) * primary
    weight = breast.total / np.float32(spec.thickness_mm)
    sigma_px = spec.detector.scatter_mm / spec.spacing_mm
    quanta = direct + fraction * scatter(primary, weight, sigma_px)
    direct_share = direct / quanta
    quanta *= np.float32(air)
    instances, faint, records = _label(spec, patches, quanta, direct_share)

    noisy = add_noise(quanta, spec.detector, _stream(spec, 3))
    bad_pixels(spec, noisy, _stream(spec, 4))
    rolloff = np.float32(MU_ADIPOSE / 10.0) * (np.float32(spec.thickness_mm) - _smooth_thickness(spec, breast))
    tissue = np.clip(np.maximum(breast.depth / np.float32(0.14), breast.nipple), 0.0, 1.0)

    large_px = min(8.0 / spec.spacing_mm, 0.1 * min(spec.shape))

    def finish(signal: np.ndarray) -> np.ndarray:
        out = present(log_image(signal, air), rolloff, _fat_level(spec), tissue, spec.presentation, large_px)
        return np.ascontiguousarray(out[:, ::-1]) if spec.laterality == "R" else out

    image, clean = finish(noisy), finish(quanta)
    for picture in (image, clean):
        draw_view_marker(picture, spec)
    flip = slice(None, None, -1 if spec.laterality == "R" else 1)
    instances, faint = (np.ascontiguousarray(array[:, flip]) for array in (instances, faint))
    stored = np.rint(image * np.float32(2**spec.presentation.bits - 1)).astype(np.uint16)
    return Phantom(
        image=stored,
        noise_free=clean,
        mask=np.where(instances > 0, 1, np.where(faint, 2, 0)).astype(np.uint8),
        instances=instances,
        breast=np.ascontiguousarray((breast.depth > 0)[:, flip]),
        mcs=records,
    )


def _fat_level(spec: PhantomSpec) -> float:
    """Attenuation of the full thickness of fat with its skin, including scatter's share (log units)."""
    inner = spec.thickness_mm - 2 * spec.skin_mm
    return (MU_ADIPOSE * inner + MU_SKIN * 2 * spec.skin_mm) / 10.0


def _attenuation(spec: PhantomSpec, breast: BreastMaps) -> np.ndarray:
    """Line integral (log units) of everything but MCs."""
    gland, septa = gland_and_septa(spec, breast, _stream(spec, 1))
    inner = breast.total - breast.skin
    fade = np.clip(breast.depth / np.float32(3.0), 0.0, 1.0)
    out = np.float32(MU_ADIPOSE / 10) * inner + np.float32(MU_SKIN / 10) * breast.skin
    out += np.float32((MU_GLANDULAR - MU_ADIPOSE) / 10) * gland * (inner - breast.muscle)
    coarse = (-(-spec.shape[0] // 8), -(-spec.shape[1] // 8))
    fibres = power_law_field(_stream(spec, 5), coarse, 8 * spec.spacing_mm, 2.8)
    muscle = breast.muscle * (1 + 0.05 * cv2.resize(fibres, spec.shape[::-1], interpolation=cv2.INTER_CUBIC))
    out += np.float32((MU_MUSCLE - MU_ADIPOSE) / 10) * muscle
    out += np.float32((MU_LIGAMENT - MU_ADIPOSE) / 10) * septa * fade
    out += np.float32(MU_GLANDULAR / 10) * breast.nipple
    out += draw_structures(spec, breast, _stream(spec, 2))
    return out


def _smooth_thickness(spec: PhantomSpec, breast: BreastMaps) -> np.ndarray:
    """The thickness that a vendor's equalisation would estimate: without detail under about 1.5 mm."""
    small = tuple(max(2, n // 4) for n in spec.shape[::-1])
    coarse = cv2.resize(breast.total, small, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 1.2 / (4 * spec.spacing_mm))
    return cv2.resize(coarse, spec.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _apply_mcs(spec: PhantomSpec, primary: np.ndarray) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """Multiply each MC's transmission into the primary image, in place."""
    patches = []
    for mc in spec.mcs:
        top, left, transmission, label = mc_patch(mc, spec.spacing_mm, spec.detector.blur_px)
        patches.append((top, left, transmission, label))
        rows, cols = _overlap(top, left, transmission.shape, primary.shape)
        inner = transmission[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
        primary[rows, cols] *= inner
    return patches


def _overlap(top: int, left: int, patch: tuple[int, ...], image: tuple[int, ...]) -> tuple[slice, slice]:
    return (
        slice(max(0, top), max(0, min(image[0], top + patch[0]))),
        slice(max(0, left), max(0, min(image[1], left + patch[1]))),
    )


def _label(
    spec: PhantomSpec,
    patches: list[tuple[int, int, np.ndarray, np.ndarray]],
    quanta: np.ndarray,
    direct_share: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, tuple[McRecord, ...]]:
    """Instance map of the MCs over `min_cnr`, pixels of the fainter ones, a record of every MC (final orientation)."""
    facts: list[tuple[float, float, float, float]] = []
    drawn: list[tuple[int, int, int, np.ndarray, np.ndarray]] = []
    fainter: list[tuple[int, int, int, np.ndarray, np.ndarray]] = []
    for number, (mc, (top, left, transmission, label)) in enumerate(zip(spec.mcs, patches, strict=True), start=1):
        row, col = mc.row_mm / spec.spacing_mm, mc.col_mm / spec.spacing_mm
        at = (min(max(round(row), 0), spec.shape[0] - 1), min(max(round(col), 0), spec.shape[1] - 1))
        contrast = float(direct_share[at]) * (1.0 - float(transmission.min()))
        here = float(quanta[at])
        noise = math.sqrt(noise_variance(here, spec.detector)) / here
        cnr = -math.log(1.0 - contrast) / noise
        facts.append((row, col, contrast, cnr))
        patch = (number, top, left, -np.log(transmission), label)
        (drawn if cnr >= spec.min_cnr else fainter).append(patch)
    instances = assign_instances(spec.shape, drawn)
    faint = cv2.dilate((assign_instances(spec.shape, fainter) > 0).astype(np.uint8), IGNORE_AROUND) > 0
    pixels = np.bincount(instances.ravel(), minlength=len(patches) + 1)
    records = []
    for number, (mc, (row, col, contrast, cnr)) in enumerate(zip(spec.mcs, facts, strict=True), start=1):
        records.append(
            McRecord(
                id=number,
                row=row,
                col=spec.shape[1] - 1 - col if spec.laterality == "R" else col,
                diameter_mm=mc.diameter_mm,
                area_mm2=float(pixels[number]) * spec.spacing_mm**2,
                thickness_um=mc.thickness_um,
                contrast=contrast,
                cnr=cnr,
                cluster=mc.cluster,
                shape=mc.shape,
                labelled=bool(pixels[number]),
            )
        )
    return instances, faint, tuple(records)
