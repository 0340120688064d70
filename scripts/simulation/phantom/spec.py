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
    """Breast outline: two half super-ellipses that meet at the nipple's level."""

    centre_mm: float  # row of the nipple's level
    upper_mm: float  # semi-axis along the chest wall above that level
    lower_mm: float  # semi-axis below it
    depth_mm: float  # chest wall to nipple
    upper_power: float  # exponent of the super-ellipse above (2 is an ellipse)
    lower_power: float  # exponent below
    waves: tuple[tuple[float, float, float], ...]  # (order, amplitude, phase) of small radial undulations
    nipple_mm: float  # radius of the nipple; 0 for a nipple not in profile
    rolloff_mm: float  # width of the rim over which the compressed breast rounds off
    pectoral_mm: tuple[float, float]  # (width at the top edge, length down the chest wall); (0, 0) for none
    pectoral_power: float  # exponent of its edge, over 1 is convex


@dataclass(frozen=True)
class TextureSpec:
    """Fibroglandular map: power law of exponent `beta` made of noise, strands and fat lobules."""

    beta: float  # exponent of the radial power spectrum, f**-beta over 0.15-0.7 /mm
    amplitude: float  # standard deviation of the texture before the logistic squashing
    strands: float  # share of strands (towards the nipple) beside plain noise
    lobules: float  # share of fat lobules beside plain noise
    lobule_mm: float  # typical size of a fat lobule
    septa: float  # relative strength of Cooper's ligaments
    centre: tuple[float, float]  # of the gland, as fractions (row: of the half axis, col: of the depth)
    extent: tuple[float, float]  # semi-axes of the gland, same fractions


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
    """Detector and exposure."""

    kind: str  # "a-Se" (direct) or "CsI" (indirect)
    blur_px: float  # sigma of the Gaussian beside the pixel's own box aperture
    quanta: float  # detected quanta per pixel behind plain fat of full thickness
    electronic: float  # standard deviation of electronic noise, in quanta
    structured: float  # residual gain variation, as a share of the signal
    scatter_fraction: float  # share of scatter in the total signal
    scatter_mm: float  # sigma of the scatter kernel


@dataclass(frozen=True)
class PresentationSpec:
    """Log image -> stored value."""

    window: float  # log units over [0, 1]
    fat_level: float  # value of plain fat
    equalisation: float  # share of the thickness roll-off that is removed
    compression: float  # share of the contrast of large areas (over about 8 mm) that is removed
    bits: int  # bits stored


Primitive = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class McSpec:
    """One microcalcification (MC)."""

    row_mm: float  # centre
    col_mm: float
    diameter_mm: float  # equivalent diameter of the area over half of the peak thickness
    thickness_um: float  # peak thickness along the beam
    angle: float  # orientation, rad
    aspect: float  # length over width
    shape: str  # one of `MC_SHAPES`
    primitives: tuple[Primitive, ...]  # ellipsoids (row, col, a, b, angle, height), unit frame; cavities: height < 0
    cluster: int  # 1, 2, ... or 0 for a scattered single


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
