"""The deterministic half of the phantom: :class:`PhantomSpec` -> image, exact masks, noise-free twin."""

import math
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any, Protocol

import cv2
import numpy as np

from scripts.simulation.phantom import physics
from scripts.simulation.phantom.calcifications import McPatch, assign_instances, clip_window, mc_patch
from scripts.simulation.phantom.outline import BreastMaps, breast_maps
from scripts.simulation.phantom.parameters import PhantomSpec
from scripts.simulation.phantom.physics import MU_ADIPOSE, MU_GLANDULAR, MU_LIGAMENT, MU_MUSCLE, MU_SKIN
from scripts.simulation.phantom.structures import bad_pixels, draw_structures, draw_view_marker
from scripts.simulation.phantom.texture import gland_and_septa, power_law_field

IGNORE_AROUND = np.ones((5, 5), np.uint8)  # a detector's mark on a faint MC is larger: 2 px around it are ignored too


@dataclass(frozen=True)
class McRecord:
    """One rendered MC, in the final image's pixels."""

    id: int  # value in `Phantom.instances` if `labelled`, counted from 1
    row: float  # centre, px
    col: float
    diameter_mm: float  # drawn equivalent diameter
    area_mm2: float  # labelled area, 0 if not labelled
    thickness_um: float  # peak thickness along the beam
    contrast: float  # relative drop of intensity at its strongest pixel, with scatter and blur
    cnr: float  # that contrast (log units) over the noise of a pixel there
    cluster: int  # 1, 2, ... or 0 for a scattered single
    shape: str  # kind of shape
    labelled: bool  # False for an MC below the spec's `min_cnr`


@dataclass(frozen=True)
class Phantom:
    """A rendered phantom; all arrays (rows, cols)."""

    image: np.ndarray  # uint16 stored values of a presentation image, MCs bright
    noise_free: np.ndarray  # float32 [0, 1], the same without noise and bad pixels
    mask: np.ndarray  # uint8, 1 where a labelled MC is, 2 (ignore) where one below `min_cnr` is
    instances: np.ndarray  # uint16, id of the MC, 0 elsewhere
    breast: np.ndarray  # bool, true under the skin line
    mcs: tuple[McRecord, ...]

    def records(self) -> list[dict[str, Any]]:
        """`mcs` as plain dictionaries, for JSON."""
        return [asdict(record) for record in self.mcs]


def _stream(spec: PhantomSpec, number: int) -> np.random.Generator:
    """Independent generator per part, so that one part's changes leave the others as they are."""
    return np.random.Generator(np.random.Philox(key=np.array([spec.seed, number], np.uint64)))


class OtherExam(Protocol):
    """Shows a phantom's tissue another time, as `pairs.CurrentExam` does."""

    def apply(self, breast: BreastMaps, attenuation: np.ndarray) -> tuple[PhantomSpec, BreastMaps, np.ndarray]:
        """Specification, maps and line integrals of that exam from those of the phantom."""


def render(spec: PhantomSpec, exam: OtherExam | None = None) -> Phantom:
    """Render a phantom, or another exam of it. Pure: equal specs give equal bytes."""
    breast = breast_maps(spec)
    attenuation = _attenuation(spec, breast)
    if exam is not None:
        spec, breast, attenuation = exam.apply(breast, attenuation)
    # attenuation (log units) of the full thickness of fat with its skin
    level = (MU_ADIPOSE * (spec.thickness_mm - 2 * spec.skin_mm) + MU_SKIN * 2 * spec.skin_mm) / 10.0
    air = float(spec.detector.quanta * math.exp(level))
    primary = physics.detector_blur(np.exp(-attenuation), spec.detector.blur_px)
    # each MC's transmission is multiplied into the primary image
    patches = [mc_patch(mc, spec.spacing_mm, spec.detector.blur_px) for mc in spec.mcs]
    for top, left, transmission, _ in patches:
        window, part = clip_window(top, left, transmission.shape, primary.shape)
        primary[window] *= transmission[part]
    fraction = np.float32(spec.detector.scatter_fraction)
    direct = (1 - fraction) * primary
    weight, sigma_px = breast.total / np.float32(spec.thickness_mm), spec.detector.scatter_mm / spec.spacing_mm
    quanta = direct + fraction * physics.scatter(primary, weight, sigma_px)
    direct_share = direct / quanta
    quanta *= np.float32(air)
    instances, faint, records = _label(spec, patches, quanta, direct_share)
    noisy = physics.add_noise(quanta, spec.detector, _stream(spec, 3))
    bad_pixels(spec, noisy, _stream(spec, 4))
    # the thickness that a vendor's equalisation would estimate: without detail under about 1.5 mm
    small = cv2.resize(breast.total, [max(2, n // 4) for n in spec.shape[::-1]], interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.2 / (4 * spec.spacing_mm))
    estimate = cv2.resize(small, spec.shape[::-1], interpolation=cv2.INTER_LINEAR)
    rolloff = np.float32(MU_ADIPOSE / 10.0) * (np.float32(spec.thickness_mm) - estimate)
    tissue = np.clip(np.maximum(breast.depth / np.float32(0.14), breast.nipple), 0.0, 1.0)
    large_px = min(8.0 / spec.spacing_mm, 0.1 * min(spec.shape))

    def finish(signal: np.ndarray) -> np.ndarray:
        out = physics.present(physics.log_image(signal, air), rolloff, level, tissue, spec.presentation, large_px)
        return np.ascontiguousarray(out[:, ::-1]) if spec.laterality == "R" else out

    image, clean = finish(noisy), finish(quanta)
    for picture in (image, clean):
        draw_view_marker(picture, spec)
    flip = slice(None, None, -1 if spec.laterality == "R" else 1)
    instances, faint = (np.ascontiguousarray(array[:, flip]) for array in (instances, faint))
    stored = np.rint(image * np.float32(2**spec.presentation.bits - 1)).astype(np.uint16)
    mask = np.where(instances > 0, 1, np.where(faint, 2, 0)).astype(np.uint8)
    return Phantom(stored, clean, mask, instances, np.ascontiguousarray((breast.depth > 0)[:, flip]), records)


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


def _label(
    spec: PhantomSpec, patches: list[McPatch], quanta: np.ndarray, direct_share: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[McRecord, ...]]:
    """Instance map of the MCs over `min_cnr`, pixels of the fainter ones, a record of every MC (final orientation)."""
    facts: list[tuple[float, float, float, float]] = []
    for mc, (_, _, transmission, _) in zip(spec.mcs, patches, strict=True):
        row, col = mc.row_mm / spec.spacing_mm, mc.col_mm / spec.spacing_mm
        at = (min(max(round(row), 0), spec.shape[0] - 1), min(max(round(col), 0), spec.shape[1] - 1))
        contrast = float(direct_share[at]) * (1.0 - float(transmission.min()))
        here = float(quanta[at])
        noise = math.sqrt(physics.noise_variance(here, spec.detector)) / here
        col = spec.shape[1] - 1 - col if spec.laterality == "R" else col
        facts.append((row, col, contrast, -math.log(1.0 - contrast) / noise))
    signals = [(n, top, left, -np.log(sent), label) for n, (top, left, sent, label) in enumerate(patches, start=1)]
    visible = [cnr >= spec.min_cnr for *_, cnr in facts]
    instances = assign_instances(spec.shape, compress(signals, visible))
    faint = assign_instances(spec.shape, compress(signals, np.logical_not(visible))) > 0
    faint = cv2.dilate(faint.astype(np.uint8), IGNORE_AROUND) > 0
    pixels = np.bincount(instances.ravel(), minlength=len(patches) + 1)
    records = []
    for number, (mc, (row, col, contrast, cnr)) in enumerate(zip(spec.mcs, facts, strict=True), start=1):
        area, labelled = float(pixels[number]) * spec.spacing_mm**2, bool(pixels[number])
        facts_of_mc = (mc.diameter_mm, area, mc.thickness_um, contrast, cnr, mc.cluster, mc.shape, labelled)
        records.append(McRecord(number, row, col, *facts_of_mc))
    return instances, faint, tuple(records)
