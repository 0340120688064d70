"""The random half of the phantom: draw a :class:`PhantomSpec`. The deterministic half is `rendering.py`."""

from __future__ import annotations

import math

import numpy as np

from scripts.simulation.parameters import log_between
from scripts.simulation.phantom.calcifications import sample_mcs
from scripts.simulation.phantom.parameters import (
    ImagingRanges,
    OutlineRanges,
    PhantomSettings,
    StructureRates,
    TextureRanges,
)
from scripts.simulation.phantom.spec import (
    LATERALITIES,
    VIEWS,
    DetectorSpec,
    OutlineSpec,
    PhantomSpec,
    PresentationSpec,
    StructureSpec,
    TextureSpec,
)

#: Area of a full 24 x 18 cm field, mm^2.
FULL_FIELD = 233.0 * 179.0


def sample_spec(
    rng: np.random.Generator,
    *,
    view: str = "CC",
    density: str = "scattered",
    laterality: str = "L",
    shape: tuple[int, int] = (3328, 2560),
    spacing_mm: float = 0.07,
    with_mcs: bool = True,
    detector: str = "a-Se",
    bits: int = 12,
    min_cnr: float = 4.5,
    settings: PhantomSettings | None = None,
) -> PhantomSpec:
    """Draw one phantom.

    Args:
        rng: source of all randomness.
        view: "CC" or "MLO".
        density: a class of `settings.densities`: "fatty", "scattered", "heterogeneous" or "dense".
        laterality: "L" or "R".
        shape: rows and columns of the image; the breast fills it, so a small image is a small breast.
        spacing_mm: pixel spacing.
        with_mcs: False gives an image without any MC.
        detector: "a-Se" or "CsI".
        bits: bits stored, 12 or 14.
        min_cnr: least contrast-to-noise ratio of an MC's brightest pixel for it to be labelled.
        settings: what is drawn from.

    Raises:
        ValueError: for an unknown view, density, laterality, detector or number of bits, or a field under 8 mm.
    """
    settings = settings or PhantomSettings()
    _require("view", view, VIEWS)
    _require("density", density, tuple(settings.densities))
    _require("laterality", laterality, LATERALITIES)
    _require("detector", detector, ("a-Se", "CsI"))
    if bits not in (12, 14):
        raise ValueError(f"bits: got {bits}; want 12 or 14")
    field = (shape[0] * spacing_mm, shape[1] * spacing_mm)
    if min(field) < 8.0:
        raise ValueError(f"shape x spacing_mm: got a field of {field[0]:.1f} x {field[1]:.1f} mm; want 8 mm or more")
    thickness, fat = settings.densities[density]
    thickness *= float(rng.uniform(*settings.thickness_range))
    outline = _sample_outline(rng, view, field, settings.outline)
    imaging = settings.imaging
    return PhantomSpec(
        shape=(int(shape[0]), int(shape[1])),
        spacing_mm=float(spacing_mm),
        view=view,
        laterality=laterality,
        density=density,
        thickness_mm=thickness,
        fat_fraction=float(np.clip(fat + rng.normal(0.0, settings.fat_sd * min(fat, 1 - fat)), *settings.fat_range)),
        skin_mm=float(rng.uniform(*settings.skin_range_mm)),
        outline=outline,
        texture=_sample_texture(rng, settings.texture),
        structures=_sample_structures(rng, view, field, settings.structures),
        detector=_sample_detector(rng, detector, spacing_mm, imaging),
        presentation=PresentationSpec(
            window=float(rng.uniform(*imaging.window_range)),
            fat_level=float(rng.uniform(*imaging.fat_level_range)),
            equalisation=float(rng.uniform(*imaging.equalisation_range)),
            compression=float(rng.uniform(*imaging.compression_range)),
            bits=bits,
        ),
        mcs=sample_mcs(rng, outline, field, settings.mcs) if with_mcs else (),
        min_cnr=float(min_cnr),
        seed=int(rng.integers(1, 2**62)),
    )


def _require(name: str, value: str, wanted: tuple[str, ...]) -> None:
    if value not in wanted:
        raise ValueError(f"{name}: got {value!r}; want one of {', '.join(wanted)}")


def _sample_outline(
    rng: np.random.Generator, view: str, field: tuple[float, float], ranges: OutlineRanges
) -> OutlineSpec:
    height, width = field
    ours = ranges.views[view]
    depth = float(rng.uniform(*ranges.depth_range)) * width
    centre = height * float(rng.uniform(*ours.centre_range))
    upper = height * float(rng.uniform(*ours.upper_range))
    if view == "CC":
        upper = min(centre * 0.98, upper)
        lower = min((height - centre) * 0.98, height * float(rng.uniform(*ours.lower_range)))
    else:
        lower = (height - centre) * float(rng.uniform(*ours.lower_range))
    powers = (float(rng.uniform(*ours.upper_power_range)), float(rng.uniform(*ours.lower_power_range)))
    pectoral = (0.0, 0.0)
    if ours.pectoral_length_range[1]:
        pectoral_width = min(float(rng.uniform(*ours.pectoral_width_range_mm)) * 1.4, 0.42 * depth)
        pectoral = (pectoral_width, height * float(rng.uniform(*ours.pectoral_length_range)))
    waves = tuple(
        (float(order), float(rng.normal(0.0, ranges.wave_sd / order)), float(rng.uniform(0, 2 * math.pi)))
        for order in (2, 3, 5)
    )
    in_profile = rng.random() < ranges.nipple_share
    return OutlineSpec(
        centre_mm=centre,
        upper_mm=upper,
        lower_mm=lower,
        depth_mm=depth,
        upper_power=powers[0],
        lower_power=powers[1],
        waves=waves,
        nipple_mm=min(float(rng.uniform(*ranges.nipple_range_mm)), 0.08 * depth) if in_profile else 0.0,
        rolloff_mm=min(float(rng.uniform(*ranges.rolloff_range_mm)), 0.4 * depth),
        pectoral_mm=pectoral,
        pectoral_power=float(rng.uniform(*ranges.pectoral_power_range)),
    )


def _sample_texture(rng: np.random.Generator, ranges: TextureRanges) -> TextureSpec:
    return TextureSpec(
        beta=float(np.clip(rng.normal(ranges.beta, ranges.beta_sd), *ranges.beta_range)),
        amplitude=float(rng.uniform(*ranges.amplitude_range)),
        strands=float(rng.uniform(*ranges.strands_range)),
        lobules=float(rng.uniform(*ranges.lobules_range)),
        lobule_mm=float(rng.uniform(*ranges.lobule_range_mm)),
        septa=float(rng.uniform(*ranges.septa_range)),
        centre=(float(rng.uniform(*ranges.centre_row_range)), float(rng.uniform(*ranges.centre_col_range))),
        extent=(float(rng.uniform(*ranges.extent_row_range)), float(rng.uniform(*ranges.extent_col_range))),
    )


def _sample_structures(
    rng: np.random.Generator, view: str, field: tuple[float, float], rates: StructureRates
) -> StructureSpec:
    area = field[0] * field[1] / FULL_FIELD
    least, most = rates.arteries_range
    return StructureSpec(
        vessel_trees=max(1, round(float(rng.uniform(*rates.vessel_trees_range)) * math.sqrt(area))),
        ligaments=int(rng.poisson(max(rates.least_ligaments, rates.ligaments_rate * area))),
        calcified_arteries=int(rng.random() < rates.arteries_share) * int(rng.integers(least, most + 1)),
        skin_folds=int(rng.random() < (rates.folds_mlo_share if view == "MLO" else rates.folds_cc_share)),
        clips=int(rng.random() < rates.clips_share),
        skin_markers=int(rng.random() < rates.markers_share),
        dead_pixels=int(rng.poisson(rates.dead_pixels_rate * area)),
        dust=int(rng.poisson(rates.dust_rate * area)),
        view_marker=bool(rng.random() < rates.view_marker_share),
        looks=rates.looks,
    )


def _sample_detector(rng: np.random.Generator, kind: str, spacing_mm: float, ranges: ImagingRanges) -> DetectorSpec:
    return DetectorSpec(
        kind=kind,
        blur_px=ranges.ase_blur_px if kind == "a-Se" else float(rng.uniform(*ranges.csi_blur_range_mm)) / spacing_mm,
        quanta=log_between(rng, ranges.quanta_range),
        electronic=float(rng.uniform(*ranges.electronic_range)),
        structured=ranges.structured,
        scatter_fraction=ranges.scatter_fraction,
        scatter_mm=ranges.scatter_mm,
    )
