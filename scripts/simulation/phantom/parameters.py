"""What phantoms are drawn from (`...Ranges`, with the default values) and what they are (`...Spec`).

An sd of a lognormal quantity is in log units; a range of lengths without a unit is a share of what its text names.
A specification is in the *canonical* frame: a left breast, chest wall at column 0, nipple to the right, head (MLO) or
axilla side (CC) up. A right breast is mirrored at the very end of rendering. Its lengths are mm from the centre of the
top left pixel, (row, col), unless a name says px or um.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from scripts.simulation.parameters import Parameters, Range, named

MC_SHAPES = ("ellipsoids", "rod", "branching", "rim")
FULL_FIELD = 233.0 * 179.0  # area of a full 24 x 18 cm field, mm^2


@dataclass(frozen=True)
class ViewOutline(Parameters):
    """Outline of the breast in one view; its axes are of the field's height (MLO: the lower one of what is below)."""

    centre_range: Range  # row of the nipple's level
    upper_range: Range  # semi-axis above it
    lower_range: Range  # semi-axis below it
    upper_power_range: Range  # exponent of the super-ellipse above
    lower_power_range: Range  # ... and below
    pectoral_width_range_mm: Range = (0, 0)  # muscle at the upper edge; (0, 0) for none
    pectoral_length_range: Range = (0, 0)  # muscle down the chest wall, of the height


VIEW_OUTLINES = {
    "CC": ViewOutline((0.48, 0.54), (0.40, 0.49), (0.38, 0.47), (1.9, 2.3), (2.0, 2.5)),
    "MLO": ViewOutline((0.55, 0.63), (0.68, 0.85), (0.80, 0.95), (1.6, 1.9), (1.9, 2.4), (20.0, 40.0), (0.45, 0.72)),
}


@dataclass(frozen=True)
class OutlineRanges(Parameters):
    """Outline of the breast."""

    depth_range: Range = (0.50, 0.85)  # chest wall to nipple, of the field's width
    views: Mapping[str, ViewOutline] = named(ViewOutline, VIEW_OUTLINES)
    wave_sd: float = 0.012  # amplitude of undulations, over their order
    nipple_share: float = 0.85  # how often it is in profile
    nipple_range_mm: Range = (3.5, 5.5)  # its radius
    rolloff_range_mm: Range = (20.0, 30.0)  # rim over which the breast rounds off
    pectoral_power_range: Range = (1.15, 1.6)  # exponent of the muscle's edge


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
class TextureRanges(Parameters):
    """Fibroglandular map, see `TextureSpec`: `beta`'s mean, sd and limits, ranges of the others."""

    beta: float = 3.1
    beta_sd: float = 0.25
    beta_range: Range = (2.5, 3.7)
    amplitude_range: Range = (1.0, 1.5)
    strands_range: Range = (0.6, 1.1)
    lobules_range: Range = (0.4, 0.9)
    lobule_range_mm: Range = (5.0, 11.0)
    septa_range: Range = (0.6, 1.3)
    centre_row_range: Range = (-0.30, 0.05)
    centre_col_range: Range = (0.40, 0.60)
    extent_row_range: Range = (0.50, 0.75)
    extent_col_range: Range = (0.45, 0.60)
    intervals: ClassVar[Mapping[str, str]] = {"centre_row_range": "(-inf, inf)", "centre_col_range": "(-inf, inf)"}


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
class StructureLooks(Parameters):
    """Geometry of the look-alikes."""

    vessel_start_range: Range = (0.0, 0.45)  # of the breast's depth
    vessel_target_sd: float = 0.15  # spread around the nipple, of the depth
    vessel_heading_sd: float = 0.35  # spread of the direction, rad
    vessel_radius_range_mm: Range = (0.4, 0.9)
    vessel_length: float = 0.28  # of the first piece, of the depth, times ...
    vessel_length_range: Range = (0.7, 1.3)  # ... a number of this
    vessel_bend_sd: float = 0.13  # rad per step
    vessel_drift_sd: float = 0.02  # rad per step
    generations: int = 6  # of branches
    branch_split_range: Range = (0.35, 0.5)  # thinner branch's share
    branch_angle_range: Range = (0.1, 0.7)  # rad
    branch_length_range: Range = (0.55, 0.95)  # over the one before
    ligament_to_nipple_share: float = 0.7  # Cooper's ligaments
    ligament_heading_sd: float = 0.45
    ligament_length_range_mm: Range = (6.0, 32.0)
    ligament_radius_range_mm: Range = (0.1, 0.2)
    ligament_depth_shape: float = 2.0  # gamma distribution of the sheet's depth along the beam
    ligament_depth_limit_mm: float = 4.5
    artery_gap_range_mm: Range = (0.5, 1.0)  # half of the distance of a calcified artery's walls
    artery_radius_range_mm: Range = (0.05, 0.1)  # of a wall
    artery_thickness_mm: float = 0.12  # calcification along them
    artery_thickness_sd: float = 0.35
    artery_thickness_limit_mm: float = 0.35
    fold_heading_sd: float = 0.3  # skin folds
    fold_depth_range_mm: Range = (2.0, 4.0)
    clip_step_range_mm: Range = (0.8, 1.3)  # pieces of a clip's wire
    clip_turn_range: Range = (0.3, 1.4)  # its bends, rad
    marker_radius_range_mm: Range = (0.75, 1.0)  # skin markers
    dead_pixel_factors: tuple[float, ...] = (0.6, 0.75, 1.3, 1.6)  # one of them multiplies a bad pixel
    dust_range: Range = (0.8, 0.95)  # factor of specks
    dust_size_range_px: tuple[int, int] = (1, 3)  # their sides


@dataclass(frozen=True)
class StructureRates(Parameters):
    """How many look-alikes there are in a full 24 x 18 cm field; a share is that of images with any.

    The number of vessel trees grows with the field's side, every `..._rate` (a mean number) with its area.
    """

    vessel_trees_range: Range = (4, 9)
    ligaments_rate: float = 130.0
    least_ligaments: float = 2.0  # least mean of a small field
    arteries_share: float = 0.2  # calcified arteries
    arteries_range: tuple[int, int] = (1, 3)
    folds_cc_share: float = 0.15  # of this and the next four: one of each
    folds_mlo_share: float = 0.35
    clips_share: float = 0.06
    markers_share: float = 0.06
    dead_pixels_rate: float = 6.0
    dust_rate: float = 3.0
    view_marker_share: float = 0.9
    looks: StructureLooks = field(default_factory=StructureLooks)


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
class ImagingRanges(Parameters):
    """Detector, exposure and presentation, see `DetectorSpec` and `PresentationSpec`."""

    ase_blur_px: float = 0.27  # sigma beside the pixel aperture, a-Se
    csi_blur_range_mm: Range = (0.052, 0.063)  # the same, CsI
    quanta_range: Range = (2800.0, 4000.0)  # log-uniform
    electronic_range: Range = (4.0, 10.0)
    structured: float = 0.00116
    scatter_fraction: float = 0.15
    scatter_mm: float = 3.0
    window_range: Range = (1.8, 2.2)
    fat_level_range: Range = (0.13, 0.20)
    equalisation_range: Range = (0.93, 0.99)
    compression_range: Range = (0.30, 0.50)


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


@dataclass(frozen=True)
class McRanges(Parameters):
    """Microcalcifications, in a full field; small fields hold fewer and smaller clusters."""

    diameter_mm: float = 0.22  # median of the clipped lognormal of outlined MCs
    diameter_sd: float = 0.5
    diameter_range_mm: Range = (0.1, 1.0)
    cluster_size_shift: float = 0.25  # a cluster's own mean log diameter lies in +- this
    thickness_ratio: float = 0.69  # thickness over diameter of specimens (micro-CT)
    thickness_sd: float = 0.387
    thickness_range: Range = (0.2, 1.6)
    outlined_mm: float = 0.2  # the first ratio that makes it this thick is taken, as only such are outlined, ...
    outlined_draws: int = 4  # ... of so many ratios
    elongation: float = 0.67  # length over width is 1 + a lognormal
    elongation_sd: float = 0.86
    aspect_range: Range = (1.05, 4.0)
    rim_aspect: float = 1.5  # most of a rim
    most_clusters: int = 6  # of an image; at least 1
    count_range: tuple[int, int] = (5, 30)  # MCs of a cluster
    extent_range_mm: Range = (3.0, 20.0)  # diameter of a cluster
    neighbour_mm: float = 1.05  # nearest neighbours within a cluster
    neighbour_sd: float = 0.3
    neighbour_range_mm: Range = (0.5, 2.2)
    stretch_sd: float = 0.45  # a cluster's length over width
    stretch_limit: float = 3.0
    heading_sd: float = 0.5  # its direction around the nipple's, rad
    singles_least: float = 1.0  # mean number of singles in a tiny field, ...
    singles_rate: float = 11.0  # ... and what a full one has more
    cluster_shares: tuple[float, ...] = (0.62, 0.2, 0.14, 0.04)  # shares of `MC_SHAPES`
    single_shares: tuple[float, ...] = (0.72, 0.10, 0.03, 0.15)
    cluster_reach: float = 0.75  # how far from the chest wall to the skin the centres of clusters lie
    single_reach: float = 0.92  # ... singles
    most_reach: float = 0.93  # ... any MC
    gap_mm: float = 0.28  # least distance of two centres


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


#: {density class: (compressed thickness mm, fat fraction)} (VICTRE's four breast types).
DENSITIES = {"fatty": (60.0, 0.95), "scattered": (55.0, 0.85), "heterogeneous": (45.0, 0.66), "dense": (35.0, 0.40)}


@dataclass(frozen=True)
class PhantomSettings(Parameters):
    """Everything that phantoms are drawn from."""

    densities: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(DENSITIES))
    density_shares: tuple[float, ...] = (0.10, 0.40, 0.40, 0.10)  # of each class in a screening population
    thickness_range: Range = (0.92, 1.08)  # factor on the class's thickness
    fat_sd: float = 0.1  # of the fat fraction, relative to the smaller of fat and gland
    fat_range: Range = (0.3, 0.98)  # its limits
    skin_range_mm: Range = (0.65, 0.85)
    outline: OutlineRanges = field(default_factory=OutlineRanges)
    texture: TextureRanges = field(default_factory=TextureRanges)
    structures: StructureRates = field(default_factory=StructureRates)
    imaging: ImagingRanges = field(default_factory=ImagingRanges)
    mcs: McRanges = field(default_factory=McRanges)


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
