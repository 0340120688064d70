"""The random half of the phantom: draw a :class:`PhantomSpec`. The deterministic half is `rendering.py`."""

import math

import numpy as np

from scripts.common.checks import check
from scripts.simulation.parameters import Range, Rng, log_between, uniform, whole
from scripts.simulation.phantom import parameters
from scripts.simulation.phantom.calcifications import sample_mcs
from scripts.simulation.phantom.parameters import DetectorSpec, PhantomSettings


def sample_spec(
    rng: Rng,
    *,
    view: str = "CC",  # or "MLO"
    density: str = "scattered",  # a class of `settings.densities`; also "fatty", "heterogeneous" and "dense"
    laterality: str = "L",  # or "R"
    shape: tuple[int, int] = (3328, 2560),  # rows, columns; the breast fills it, so a small image is a small breast
    spacing_mm: float = 0.07,
    with_mcs: bool = True,  # False gives an image without any MC
    detector: str = "a-Se",  # or "CsI"
    bits: int = 12,  # bits stored, 12 or 14
    min_cnr: float = 4.5,  # least contrast-to-noise ratio of an MC's brightest pixel for it to be labelled
    settings: PhantomSettings | None = None,  # what is drawn from
) -> parameters.PhantomSpec:
    """Draw one phantom.

    Raises:
        ValueError: for an unknown view, density, laterality, detector or number of bits, or a field under 8 mm.
    """
    settings = settings or PhantomSettings()
    check("view", view, view in ("CC", "MLO"), "one of CC, MLO")
    check("density", density, density in settings.densities, f"one of {', '.join(settings.densities)}")
    check("laterality", laterality, laterality in ("L", "R"), "one of L, R")
    check("detector", detector, detector in ("a-Se", "CsI"), "one of a-Se, CsI")
    check("bits", bits, bits in (12, 14), "12 or 14")
    field = (shape[0] * spacing_mm, shape[1] * spacing_mm)
    if min(field) < 8.0:
        raise ValueError(f"shape x spacing_mm: got a field of {field[0]:.1f} x {field[1]:.1f} mm; want 8 mm or more")
    thickness, fat = settings.densities[density]
    thickness *= uniform(rng, settings.thickness_range)
    outline = _sample_outline(rng, view, field, settings.outline)
    fat = float(np.clip(fat + rng.normal(0.0, settings.fat_sd * min(fat, 1 - fat)), *settings.fat_range))
    skin = uniform(rng, settings.skin_range_mm)
    texture = _sample_texture(rng, settings.texture)
    structures = _sample_structures(rng, view, field, settings.structures)
    exposure = _sample_detector(rng, detector, spacing_mm, settings.imaging)
    shown = settings.imaging
    levels = (shown.window_range, shown.fat_level_range, shown.equalisation_range, shown.compression_range)
    window, fat_level, equalisation, compression = (uniform(rng, limits) for limits in levels)
    presentation = parameters.PresentationSpec(window, fat_level, equalisation, compression, bits)
    mcs = sample_mcs(rng, outline, field, settings.mcs) if with_mcs else ()
    size, seed = (int(shape[0]), int(shape[1])), int(rng.integers(1, 2**62))
    drawn = (thickness, fat, skin, outline, texture, structures, exposure, presentation, mcs)
    return parameters.PhantomSpec(size, float(spacing_mm), view, laterality, density, *drawn, float(min_cnr), seed)


def _sample_outline(rng: Rng, view: str, field: Range, ranges: parameters.OutlineRanges) -> parameters.OutlineSpec:
    height, width = field
    ours = ranges.views[view]
    depth = uniform(rng, ranges.depth_range) * width
    centre = height * uniform(rng, ours.centre_range)
    upper = height * uniform(rng, ours.upper_range)
    lower = uniform(rng, ours.lower_range)
    if view == "CC":
        upper, lower = min(centre * 0.98, upper), min((height - centre) * 0.98, height * lower)
    else:
        lower = (height - centre) * lower
    powers = uniform(rng, ours.upper_power_range), uniform(rng, ours.lower_power_range)
    pectoral = (0.0, 0.0)
    if ours.pectoral_length_range[1]:
        pectoral_width = min(uniform(rng, ours.pectoral_width_range_mm) * 1.4, 0.42 * depth)
        pectoral = (pectoral_width, height * uniform(rng, ours.pectoral_length_range))
    orders = (2.0, 3.0, 5.0)
    waves = tuple((n, rng.normal(0.0, ranges.wave_sd / n), uniform(rng, (0, 2 * math.pi))) for n in orders)
    nipple = min(uniform(rng, ranges.nipple_range_mm), 0.08 * depth) if rng.random() < ranges.nipple_share else 0.0
    rolloff = min(uniform(rng, ranges.rolloff_range_mm), 0.4 * depth)
    edge = uniform(rng, ranges.pectoral_power_range)
    return parameters.OutlineSpec(centre, upper, lower, depth, *powers, waves, nipple, rolloff, pectoral, edge)


def _sample_texture(rng: Rng, ranges: parameters.TextureRanges) -> parameters.TextureSpec:
    return parameters.TextureSpec(
        beta=float(np.clip(rng.normal(ranges.beta, ranges.beta_sd), *ranges.beta_range)),
        amplitude=uniform(rng, ranges.amplitude_range),
        strands=uniform(rng, ranges.strands_range),
        lobules=uniform(rng, ranges.lobules_range),
        lobule_mm=uniform(rng, ranges.lobule_range_mm),
        septa=uniform(rng, ranges.septa_range),
        centre=(uniform(rng, ranges.centre_row_range), uniform(rng, ranges.centre_col_range)),
        extent=(uniform(rng, ranges.extent_row_range), uniform(rng, ranges.extent_col_range)),
    )


def _sample_structures(rng: Rng, view: str, field: Range, rates: parameters.StructureRates) -> parameters.StructureSpec:
    area = field[0] * field[1] / parameters.FULL_FIELD
    return parameters.StructureSpec(
        vessel_trees=max(1, round(uniform(rng, rates.vessel_trees_range) * math.sqrt(area))),
        ligaments=int(rng.poisson(max(rates.least_ligaments, rates.ligaments_rate * area))),
        calcified_arteries=int(rng.random() < rates.arteries_share) * whole(rng, rates.arteries_range),
        skin_folds=int(rng.random() < (rates.folds_mlo_share if view == "MLO" else rates.folds_cc_share)),
        clips=int(rng.random() < rates.clips_share),
        skin_markers=int(rng.random() < rates.markers_share),
        dead_pixels=int(rng.poisson(rates.dead_pixels_rate * area)),
        dust=int(rng.poisson(rates.dust_rate * area)),
        view_marker=bool(rng.random() < rates.view_marker_share),
        looks=rates.looks,
    )


def _sample_detector(rng: Rng, kind: str, spacing_mm: float, ranges: parameters.ImagingRanges) -> DetectorSpec:
    blur_px = ranges.ase_blur_px if kind == "a-Se" else uniform(rng, ranges.csi_blur_range_mm) / spacing_mm
    exposure = log_between(rng, ranges.quanta_range), uniform(rng, ranges.electronic_range), ranges.structured
    return DetectorSpec(kind, blur_px, *exposure, ranges.scatter_fraction, ranges.scatter_mm)
