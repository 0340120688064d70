"""What a phantom is: frozen dataclasses that :func:`scripts.simulation.phantom.sampling.sample_spec` draws.

Everything is in the *canonical* frame: a left breast, chest wall at column 0, nipple to the right, head (MLO) or
axilla side (CC) up. A right breast is mirrored at the very end of rendering. Lengths are mm from the centre of the
top left pixel, (row, col), unless a name says px or um.
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.simulation.phantom.parameters import StructureLooks

VIEWS = ("CC", "MLO")
LATERALITIES = ("L", "R")

MC_SHAPES = ("ellipsoids", "rod", "branching", "rim")


@dataclass(frozen=True)
class OutlineSpec:
    """Breast outline: two half super-ellipses that meet at the nipple's level.

    Attributes:
        centre_mm: row of the nipple's level.
        upper_mm, lower_mm: semi-axes along the chest wall, above and below that level.
        depth_mm: chest wall to nipple.
        upper_power, lower_power: exponents of the super-ellipse (2 is an ellipse).
        waves: (order, amplitude, phase) of small radial undulations.
        nipple_mm: radius of the nipple; 0 for a nipple not in profile.
        rolloff_mm: width of the rim over which the compressed breast rounds off.
        pectoral_mm: (width at the top edge, length down the chest wall); (0, 0) for none.
        pectoral_power: exponent of its edge, over 1 is convex.
    """

    centre_mm: float
    upper_mm: float
    lower_mm: float
    depth_mm: float
    upper_power: float
    lower_power: float
    waves: tuple[tuple[float, float, float], ...]
    nipple_mm: float
    rolloff_mm: float
    pectoral_mm: tuple[float, float]
    pectoral_power: float


@dataclass(frozen=True)
class TextureSpec:
    """Fibroglandular map: power law of exponent `beta` made of noise, strands and fat lobules.

    Attributes:
        beta: exponent of the radial power spectrum, f**-beta over 0.15-0.7 /mm.
        amplitude: standard deviation of the texture before the logistic squashing.
        strands, lobules: shares of strands (towards the nipple) and fat lobules beside plain noise.
        lobule_mm: typical size of a fat lobule.
        septa: relative strength of Cooper's ligaments.
        centre: centre of the gland as fractions (row: of the half axis, col: of the depth).
        extent: semi-axes of the gland, same fractions.
    """

    beta: float
    amplitude: float
    strands: float
    lobules: float
    lobule_mm: float
    septa: float
    centre: tuple[float, float]
    extent: tuple[float, float]


@dataclass(frozen=True)
class StructureSpec:
    """How many look-alikes of each kind are drawn; their geometry follows from `looks` and the phantom's seed."""

    vessel_trees: int
    ligaments: int
    calcified_arteries: int
    skin_folds: int
    clips: int
    skin_markers: int
    dead_pixels: int
    dust: int
    view_marker: bool
    looks: StructureLooks


@dataclass(frozen=True)
class DetectorSpec:
    """Detector and exposure.

    Attributes:
        kind: "a-Se" (direct) or "CsI" (indirect).
        blur_px: sigma of the Gaussian beside the pixel's own box aperture.
        quanta: detected quanta per pixel behind plain fat of full thickness.
        electronic: standard deviation of electronic noise, in quanta.
        structured: residual gain variation, as a share of the signal.
        scatter_fraction: share of scatter in the total signal.
        scatter_mm: sigma of the scatter kernel.
    """

    kind: str
    blur_px: float
    quanta: float
    electronic: float
    structured: float
    scatter_fraction: float
    scatter_mm: float


@dataclass(frozen=True)
class PresentationSpec:
    """Log image -> stored value.

    Attributes:
        window: log units over [0, 1].
        fat_level: value of plain fat.
        equalisation: share of the thickness roll-off that is removed.
        compression: share of the contrast of large areas (over about 8 mm) that is removed.
        bits: bits stored.
    """

    window: float
    fat_level: float
    equalisation: float
    compression: float
    bits: int


@dataclass(frozen=True)
class McSpec:
    """One microcalcification (MC).

    Attributes:
        row_mm, col_mm: centre.
        diameter_mm: equivalent diameter of the area over half of the peak thickness.
        thickness_um: peak thickness along the beam.
        angle: orientation, rad.
        aspect: length over width.
        shape: one of `MC_SHAPES`.
        primitives: ellipsoids (row, col, a, b, angle, height) in a unit frame; negative heights are cavities.
        cluster: 1, 2, ... or 0 for a scattered single.
    """

    row_mm: float
    col_mm: float
    diameter_mm: float
    thickness_um: float
    angle: float
    aspect: float
    shape: str
    primitives: tuple[tuple[float, float, float, float, float, float], ...]
    cluster: int


@dataclass(frozen=True)
class PhantomSpec:
    """Everything :func:`scripts.simulation.phantom.rendering.render` needs; equal specs give equal bytes."""

    shape: tuple[int, int]
    spacing_mm: float
    view: str
    laterality: str
    density: str
    thickness_mm: float
    fat_fraction: float
    skin_mm: float
    outline: OutlineSpec
    texture: TextureSpec
    structures: StructureSpec
    detector: DetectorSpec
    presentation: PresentationSpec
    mcs: tuple[McSpec, ...]
    min_cnr: float
    seed: int
