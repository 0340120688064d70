"""What phantoms are drawn from: every rate, probability and range, as frozen dataclasses with the default values.

An sd of a lognormal quantity is in log units; a range of lengths without a unit is a share of what its text names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.simulation.parameters import Parameters, Range, as_objects


@dataclass(frozen=True)
class ViewOutline(Parameters):
    """Outline of the breast in one view.

    Attributes:
        centre_range: row of the nipple's level, of the field's height.
        upper_range, lower_range: semi-axes above and below it, of the height (MLO: the lower one of what is below it).
        upper_power_range, lower_power_range: exponents of the super-ellipse.
        pectoral_width_range_mm, pectoral_length_range: muscle at the upper edge, and down the chest wall (of the
            height); (0, 0) for none.
    """

    centre_range: Range
    upper_range: Range
    lower_range: Range
    upper_power_range: Range
    lower_power_range: Range
    pectoral_width_range_mm: Range = (0, 0)
    pectoral_length_range: Range = (0, 0)


VIEW_OUTLINES = {
    "CC": ViewOutline((0.48, 0.54), (0.40, 0.49), (0.38, 0.47), (1.9, 2.3), (2.0, 2.5)),
    "MLO": ViewOutline((0.55, 0.63), (0.68, 0.85), (0.80, 0.95), (1.6, 1.9), (1.9, 2.4), (20.0, 40.0), (0.45, 0.72)),
}


@dataclass(frozen=True)
class OutlineRanges(Parameters):
    """Outline of the breast.

    Attributes:
        depth_range: chest wall to nipple, of the field's width.
        views: {view: `ViewOutline` or its values}.
        wave_sd: amplitude of undulations, over their order.
        nipple_share, nipple_range_mm: how often it is in profile, its radius.
        rolloff_range_mm: rim over which the breast rounds off.
        pectoral_power_range: exponent of the muscle's edge.
    """

    depth_range: Range = (0.50, 0.85)
    views: Mapping[str, ViewOutline] = field(default_factory=lambda: dict(VIEW_OUTLINES))
    wave_sd: float = 0.012
    nipple_share: float = 0.85
    nipple_range_mm: Range = (3.5, 5.5)
    rolloff_range_mm: Range = (20.0, 30.0)
    pectoral_power_range: Range = (1.15, 1.6)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "views", as_objects(self.views, ViewOutline))


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


@dataclass(frozen=True)
class StructureLooks(Parameters):
    """Geometry of the look-alikes.

    Attributes:
        vessel_start_range: of the breast's depth.
        vessel_target_sd, vessel_heading_sd: spread around the nipple (of the depth) and of the direction (rad).
        vessel_radius_range_mm, vessel_length, vessel_length_range: length of the first piece is `vessel_length` of the
            depth times a number of the range.
        vessel_bend_sd, vessel_drift_sd: rad per step.
        generations: of branches.
        branch_split_range, branch_angle_range, branch_length_range: thinner branch's share, angle (rad), length over
            the one before.
        ligament_to_nipple_share, ligament_heading_sd, ligament_length_range_mm, ligament_radius_range_mm: Cooper's
            ligaments.
        ligament_depth_shape, ligament_depth_limit_mm: gamma distribution of the sheet's depth along the beam.
        artery_gap_range_mm, artery_radius_range_mm: walls of calcified arteries: half of their distance, radius.
        artery_thickness_mm, artery_thickness_sd, artery_thickness_limit_mm: calcification along them.
        fold_heading_sd, fold_depth_range_mm: skin folds.
        clip_step_range_mm, clip_turn_range: pieces and bends (rad) of a clip's wire.
        marker_radius_range_mm: skin markers.
        dead_pixel_factors: one of them multiplies a bad pixel.
        dust_range, dust_size_range_px: factor and sides of specks.
    """

    vessel_start_range: Range = (0.0, 0.45)
    vessel_target_sd: float = 0.15
    vessel_heading_sd: float = 0.35
    vessel_radius_range_mm: Range = (0.4, 0.9)
    vessel_length: float = 0.28
    vessel_length_range: Range = (0.7, 1.3)
    vessel_bend_sd: float = 0.13
    vessel_drift_sd: float = 0.02
    generations: int = 6
    branch_split_range: Range = (0.35, 0.5)
    branch_angle_range: Range = (0.1, 0.7)
    branch_length_range: Range = (0.55, 0.95)
    ligament_to_nipple_share: float = 0.7
    ligament_heading_sd: float = 0.45
    ligament_length_range_mm: Range = (6.0, 32.0)
    ligament_radius_range_mm: Range = (0.1, 0.2)
    ligament_depth_shape: float = 2.0
    ligament_depth_limit_mm: float = 4.5
    artery_gap_range_mm: Range = (0.5, 1.0)
    artery_radius_range_mm: Range = (0.05, 0.1)
    artery_thickness_mm: float = 0.12
    artery_thickness_sd: float = 0.35
    artery_thickness_limit_mm: float = 0.35
    fold_heading_sd: float = 0.3
    fold_depth_range_mm: Range = (2.0, 4.0)
    clip_step_range_mm: Range = (0.8, 1.3)
    clip_turn_range: Range = (0.3, 1.4)
    marker_radius_range_mm: Range = (0.75, 1.0)
    dead_pixel_factors: tuple[float, ...] = (0.6, 0.75, 1.3, 1.6)
    dust_range: Range = (0.8, 0.95)
    dust_size_range_px: tuple[int, int] = (1, 3)


@dataclass(frozen=True)
class StructureRates(Parameters):
    """How many look-alikes there are in a full 24 x 18 cm field; a share is that of images with any.

    Attributes:
        vessel_trees_range: grows with the field's side; all `..._rate` with its area.
        ligaments_rate, least_ligaments: mean number, and the least mean of a small field.
        arteries_share, arteries_range: calcified arteries.
        folds_cc_share, folds_mlo_share, clips_share, markers_share, view_marker_share: one of each.
        dead_pixels_rate, dust_rate: mean numbers.
        looks: their geometry.
    """

    vessel_trees_range: Range = (4, 9)
    ligaments_rate: float = 130.0
    least_ligaments: float = 2.0
    arteries_share: float = 0.2
    arteries_range: tuple[int, int] = (1, 3)
    folds_cc_share: float = 0.15
    folds_mlo_share: float = 0.35
    clips_share: float = 0.06
    markers_share: float = 0.06
    dead_pixels_rate: float = 6.0
    dust_rate: float = 3.0
    view_marker_share: float = 0.9
    looks: StructureLooks = field(default_factory=StructureLooks)


@dataclass(frozen=True)
class ImagingRanges(Parameters):
    """Detector, exposure and presentation, see `DetectorSpec` and `PresentationSpec`.

    Attributes:
        ase_blur_px, csi_blur_range_mm: sigma beside the pixel aperture: a-Se 0.27 px, CsI 52-63 um.
        quanta_range: log-uniform.
        electronic_range, structured, scatter_fraction, scatter_mm: noise and scatter.
        window_range, fat_level_range, equalisation_range, compression_range: presentation.
    """

    ase_blur_px: float = 0.27
    csi_blur_range_mm: Range = (0.052, 0.063)
    quanta_range: Range = (2800.0, 4000.0)
    electronic_range: Range = (4.0, 10.0)
    structured: float = 0.00116
    scatter_fraction: float = 0.15
    scatter_mm: float = 3.0
    window_range: Range = (1.8, 2.2)
    fat_level_range: Range = (0.13, 0.20)
    equalisation_range: Range = (0.93, 0.99)
    compression_range: Range = (0.30, 0.50)


@dataclass(frozen=True)
class McRanges(Parameters):
    """Microcalcifications, in a full field; small fields hold fewer and smaller clusters.

    Attributes:
        diameter_mm, diameter_sd, diameter_range_mm: clipped lognormal of outlined MCs.
        cluster_size_shift: a cluster's own mean log diameter lies in +- this.
        thickness_ratio, thickness_sd, thickness_range: thickness over diameter of specimens (micro-CT).
        outlined_mm, outlined_draws: the first of so many ratios that makes it this thick, as only such are outlined.
        elongation, elongation_sd, aspect_range, rim_aspect: length over width is 1 + a lognormal.
        most_clusters, count_range: clusters of an image (at least 1), MCs of a cluster.
        extent_range_mm: diameter of a cluster.
        neighbour_mm, neighbour_sd, neighbour_range_mm: nearest neighbours within a cluster.
        stretch_sd, stretch_limit, heading_sd: a cluster's length over width; direction around the nipple's (rad).
        singles_least, singles_rate: mean number of singles in a tiny field, and what a full one has more.
        cluster_shares, single_shares: shares of `MC_SHAPES`.
        cluster_reach, single_reach, most_reach: how far from the chest wall to the skin centres, singles, any MC lie.
        gap_mm: least distance of two centres.
    """

    diameter_mm: float = 0.22
    diameter_sd: float = 0.5
    diameter_range_mm: Range = (0.1, 1.0)
    cluster_size_shift: float = 0.25
    thickness_ratio: float = 0.69
    thickness_sd: float = 0.387
    thickness_range: Range = (0.2, 1.6)
    outlined_mm: float = 0.2
    outlined_draws: int = 4
    elongation: float = 0.67
    elongation_sd: float = 0.86
    aspect_range: Range = (1.05, 4.0)
    rim_aspect: float = 1.5
    most_clusters: int = 6
    count_range: tuple[int, int] = (5, 30)
    extent_range_mm: Range = (3.0, 20.0)
    neighbour_mm: float = 1.05
    neighbour_sd: float = 0.3
    neighbour_range_mm: Range = (0.5, 2.2)
    stretch_sd: float = 0.45
    stretch_limit: float = 3.0
    heading_sd: float = 0.5
    singles_least: float = 1.0
    singles_rate: float = 11.0
    cluster_shares: tuple[float, ...] = (0.62, 0.2, 0.14, 0.04)
    single_shares: tuple[float, ...] = (0.72, 0.10, 0.03, 0.15)
    cluster_reach: float = 0.75
    single_reach: float = 0.92
    most_reach: float = 0.93
    gap_mm: float = 0.28


@dataclass(frozen=True)
class PhantomSettings(Parameters):
    """Everything that phantoms are drawn from.

    Attributes:
        densities: {density class: (compressed thickness mm, fat fraction)} (VICTRE's four breast types).
        density_shares: share of each class in a screening population.
        thickness_range: factor on the class's thickness.
        fat_sd, fat_range: sd of the fat fraction relative to the smaller of fat and gland; its limits.
        skin_range_mm: thickness of the skin.
        outline, texture, structures, imaging, mcs: the parts.
    """

    densities: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {
            "fatty": (60.0, 0.95),
            "scattered": (55.0, 0.85),
            "heterogeneous": (45.0, 0.66),
            "dense": (35.0, 0.40),
        }
    )
    density_shares: tuple[float, ...] = (0.10, 0.40, 0.40, 0.10)
    thickness_range: Range = (0.92, 1.08)
    fat_sd: float = 0.1
    fat_range: Range = (0.3, 0.98)
    skin_range_mm: Range = (0.65, 0.85)
    outline: OutlineRanges = field(default_factory=OutlineRanges)
    texture: TextureRanges = field(default_factory=TextureRanges)
    structures: StructureRates = field(default_factory=StructureRates)
    imaging: ImagingRanges = field(default_factory=ImagingRanges)
    mcs: McRanges = field(default_factory=McRanges)
