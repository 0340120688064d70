"""The random half of the phantom: draw a :class:`PhantomSpec`. The deterministic half is `rendering.py`."""

from __future__ import annotations

import math

import numpy as np

from scripts.simulation.phantom.calcifications import sample_mcs
from scripts.simulation.phantom.spec import (
    DENSITIES,
    LATERALITIES,
    VIEWS,
    DetectorSpec,
    OutlineSpec,
    PhantomSpec,
    PresentationSpec,
    StructureSpec,
    TextureSpec,
)

#: Gaussian blur beside the pixel aperture: 0.27 px for a-Se; 52-63 um for CsI.
_ASE_BLUR_PX = 0.27
_CSI_BLUR_MM = (0.052, 0.063)


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
) -> PhantomSpec:
    """Draw one phantom.

    Args:
        rng: source of all randomness.
        view: "CC" or "MLO".
        density: "fatty", "scattered", "heterogeneous" or "dense".
        laterality: "L" or "R".
        shape: rows and columns of the image; the breast fills it, so a small image is a small breast.
        spacing_mm: pixel spacing.
        with_mcs: False gives an image without any MC.
        detector: "a-Se" or "CsI".
        bits: bits stored, 12 or 14.
        min_cnr: least contrast-to-noise ratio of an MC's brightest pixel for it to be labelled.

    Raises:
        ValueError: for an unknown view, density, laterality, detector or number of bits, or a field under 8 mm.
    """
    _require("view", view, VIEWS)
    _require("density", density, tuple(DENSITIES))
    _require("laterality", laterality, LATERALITIES)
    _require("detector", detector, ("a-Se", "CsI"))
    if bits not in (12, 14):
        raise ValueError(f"bits: found {bits}; wanted 12 or 14")
    field = (shape[0] * spacing_mm, shape[1] * spacing_mm)
    if min(field) < 8.0:
        raise ValueError(
            f"shape x spacing_mm: found a field of {field[0]:.1f} x {field[1]:.1f} mm; wanted 8 mm or more"
        )
    thickness, fat = DENSITIES[density]
    thickness *= float(rng.uniform(0.92, 1.08))
    outline = _sample_outline(rng, view, field)
    return PhantomSpec(
        shape=(int(shape[0]), int(shape[1])),
        spacing_mm=float(spacing_mm),
        view=view,
        laterality=laterality,
        density=density,
        thickness_mm=thickness,
        fat_fraction=float(np.clip(fat + rng.normal(0.0, 0.1 * min(fat, 1 - fat)), 0.3, 0.98)),
        skin_mm=float(rng.uniform(0.65, 0.85)),
        outline=outline,
        texture=_sample_texture(rng),
        structures=_sample_structures(rng, view, field),
        detector=_sample_detector(rng, detector, spacing_mm),
        presentation=PresentationSpec(
            window=float(rng.uniform(1.8, 2.2)),
            fat_level=float(rng.uniform(0.13, 0.20)),
            equalisation=float(rng.uniform(0.93, 0.99)),
            compression=float(rng.uniform(0.30, 0.50)),
            bits=bits,
        ),
        mcs=sample_mcs(rng, outline, field) if with_mcs else (),
        min_cnr=float(min_cnr),
        seed=int(rng.integers(1, 2**62)),
    )


def _require(name: str, found: str, wanted: tuple[str, ...]) -> None:
    if found not in wanted:
        raise ValueError(f"{name}: found {found!r}; wanted one of {', '.join(wanted)}")


def _sample_outline(rng: np.random.Generator, view: str, field: tuple[float, float]) -> OutlineSpec:
    height, width = field
    depth = float(rng.uniform(0.50, 0.85)) * width
    if view == "CC":
        centre = height * float(rng.uniform(0.48, 0.54))
        upper = min(centre * 0.98, height * float(rng.uniform(0.40, 0.49)))
        lower = min((height - centre) * 0.98, height * float(rng.uniform(0.38, 0.47)))
        powers = (float(rng.uniform(1.9, 2.3)), float(rng.uniform(2.0, 2.5)))
        pectoral = (0.0, 0.0)
    else:
        centre = height * float(rng.uniform(0.55, 0.63))
        upper = height * float(rng.uniform(0.68, 0.85))
        lower = (height - centre) * float(rng.uniform(0.80, 0.95))
        powers = (float(rng.uniform(1.6, 1.9)), float(rng.uniform(1.9, 2.4)))
        pectoral = (
            min(float(rng.uniform(20.0, 40.0)) * 1.4, 0.42 * depth),
            height * float(rng.uniform(0.45, 0.72)),
        )
    waves = tuple(
        (float(order), float(rng.normal(0.0, 0.012 / order)), float(rng.uniform(0, 2 * math.pi))) for order in (2, 3, 5)
    )
    return OutlineSpec(
        centre_mm=centre,
        upper_mm=upper,
        lower_mm=lower,
        depth_mm=depth,
        upper_power=powers[0],
        lower_power=powers[1],
        waves=waves,
        nipple_mm=min(float(rng.uniform(3.5, 5.5)), 0.08 * depth) if rng.random() < 0.85 else 0.0,
        rolloff_mm=min(float(rng.uniform(20.0, 30.0)), 0.4 * depth),
        pectoral_mm=pectoral,
        pectoral_power=float(rng.uniform(1.15, 1.6)),
    )


def _sample_texture(rng: np.random.Generator) -> TextureSpec:
    return TextureSpec(
        beta=float(np.clip(rng.normal(3.1, 0.25), 2.5, 3.7)),
        amplitude=float(rng.uniform(1.0, 1.5)),
        strands=float(rng.uniform(0.6, 1.1)),
        lobules=float(rng.uniform(0.4, 0.9)),
        lobule_mm=float(rng.uniform(5.0, 11.0)),
        septa=float(rng.uniform(0.6, 1.3)),
        centre=(float(rng.uniform(-0.30, 0.05)), float(rng.uniform(0.40, 0.60))),
        extent=(float(rng.uniform(0.50, 0.75)), float(rng.uniform(0.45, 0.60))),
    )


def _sample_structures(rng: np.random.Generator, view: str, field: tuple[float, float]) -> StructureSpec:
    area = field[0] * field[1] / (233.0 * 179.0)  # share of a full 24 x 18 cm field
    return StructureSpec(
        vessel_trees=max(1, round(float(rng.uniform(4, 9)) * math.sqrt(area))),
        ligaments=int(rng.poisson(max(2.0, 130.0 * area))),
        calcified_arteries=int(rng.random() < 0.2) * int(rng.integers(1, 4)),
        skin_folds=int(rng.random() < (0.35 if view == "MLO" else 0.15)),
        clips=int(rng.random() < 0.06),
        skin_markers=int(rng.random() < 0.06),
        dead_pixels=int(rng.poisson(6.0 * area)),
        dust=int(rng.poisson(3.0 * area)),
        view_marker=bool(rng.random() < 0.9),
    )


def _sample_detector(rng: np.random.Generator, kind: str, spacing_mm: float) -> DetectorSpec:
    blur = _ASE_BLUR_PX if kind == "a-Se" else float(rng.uniform(*_CSI_BLUR_MM)) / spacing_mm
    return DetectorSpec(
        kind=kind,
        blur_px=blur,
        quanta=float(np.exp(rng.uniform(math.log(2800.0), math.log(4000.0)))),
        electronic=float(rng.uniform(4.0, 10.0)),
        structured=0.00116,
        scatter_fraction=0.15,
        scatter_mm=3.0,
    )
