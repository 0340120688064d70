"""Microcalcifications: sizes, shapes and exact labels."""

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

from scripts.simulation.phantom.calcifications import assign_instances, mc_patch, mc_thickness_mm
from scripts.simulation.phantom.outline import inside_fraction_mm
from scripts.simulation.phantom.parameters import MC_SHAPES, McSpec
from scripts.simulation.phantom.sampling import sample_spec

SPHERE = ((0.0, 0.0, 1.0, 1.0, 0.0, 1.0),)


@pytest.fixture(scope="module")
def specs() -> list:
    return [sample_spec(np.random.default_rng(seed), view=("CC", "MLO")[seed % 2]) for seed in range(80)]


@pytest.fixture(scope="module")
def many(specs: list) -> list[McSpec]:
    return [mc for spec in specs for mc in spec.mcs]


def _sphere(diameter_mm: float, row_mm: float = 1.4, col_mm: float = 1.4, thickness_um: float = 100.0) -> McSpec:
    return McSpec(row_mm, col_mm, diameter_mm, thickness_um, 0.0, 1.0, "ellipsoids", SPHERE, 0)


def test_diameters_are_the_clipped_lognormal(many: list[McSpec]) -> None:
    rng = np.random.default_rng(0)
    wanted = np.clip(0.22 * np.exp(rng.normal(0.0, 0.5, 20000)), 0.1, 1.0)
    assert len(many) > 2000
    assert ks_2samp([mc.diameter_mm for mc in many], wanted).statistic < 0.05


def test_label_diameters_reproduce_the_lognormal(many: list[McSpec]) -> None:
    some = [mc for mc in many if mc.diameter_mm > 0.2][:250]
    labelled = [2.0 * 0.07 * math.sqrt(mc_patch(mc, 0.07, 0.27)[3].sum() / math.pi) for mc in some]
    drawn = np.array([mc.diameter_mm for mc in some])
    assert np.median(np.array(labelled) / drawn) == pytest.approx(1.0, abs=0.1)
    assert ks_2samp(labelled, drawn).statistic < 0.15


def test_thickness_and_aspect_percentiles(many: list[McSpec]) -> None:
    # small MCs are drawn thicker, as only those are outlined: the specimens' ratios are those of the large ones
    ratio = [mc.thickness_um / 1000 / mc.diameter_mm for mc in many if mc.diameter_mm > 0.55]
    np.testing.assert_allclose(np.percentile(ratio, [10, 50, 90]), [0.40, 0.69, 1.08], rtol=0.15)
    aspect = [mc.aspect for mc in many if mc.shape != "rim"]
    np.testing.assert_allclose(np.percentile(aspect, [10, 50, 90]), [1.2, 1.67, 2.8], rtol=0.12)


def test_clusters_have_5_to_30_mcs_over_3_to_20_mm_with_neighbours_near_1_mm(specs: list) -> None:
    nearest, extents, counts = [], [], []
    for spec in specs:
        for cluster in {mc.cluster for mc in spec.mcs} - {0}:
            points = np.array([(mc.row_mm, mc.col_mm) for mc in spec.mcs if mc.cluster == cluster])
            if len(points) < 5:  # part of a cluster that fell outside of the breast
                continue
            counts.append(len(points))
            extents.append(np.ptp(points, axis=0).max())
            nearest += list(cKDTree(points).query(points, k=2)[0][:, 1])
    assert max(counts) <= 30 and np.median(counts) > 8
    assert np.percentile(extents, 5) > 2.0 and np.percentile(extents, 95) < 25.0
    assert 0.7 < np.median(nearest) < 1.4
    assert min(nearest) > 0.28


def test_all_shapes_occur_and_all_mcs_lie_in_the_breast(specs: list, many: list[McSpec]) -> None:
    assert {mc.shape for mc in many} == set(MC_SHAPES)
    assert all(inside_fraction_mm(s.outline, mc.row_mm, mc.col_mm) < 0.94 for s in specs for mc in s.mcs)


def test_half_peak_area_of_a_sphere_gives_its_diameter() -> None:
    axis = np.linspace(-0.5, 0.5, 1001)
    thickness = mc_thickness_mm(_sphere(0.4), axis[:, None], axis[None, :])
    assert thickness.max() == pytest.approx(0.1, rel=1e-3)
    area = (thickness > 0.05).sum() * 0.001**2
    assert 2 * math.sqrt(area / math.pi) == pytest.approx(0.4, rel=0.03)


def test_label_is_over_half_of_the_peak_and_centred() -> None:
    top, left, transmission, label = mc_patch(_sphere(0.5, 20 * 0.07, 30 * 0.07), 0.07, 0.27)
    signal = -np.log(transmission)
    np.testing.assert_array_equal(label, ndimage.binary_fill_holes(signal > signal.max() / 2))
    row, col = ndimage.center_of_mass(label)
    assert (row + top, col + left) == pytest.approx((20.0, 30.0), abs=0.05)


def test_wide_flat_calcification_keeps_its_primary_contrast() -> None:
    _, _, transmission, _ = mc_patch(_sphere(1.0, thickness_um=500.0), 0.07, 0.27)
    assert 1.0 - transmission.min() == pytest.approx(0.283, rel=0.03)


def test_blur_and_pixel_lower_the_contrast_of_a_small_one() -> None:
    wide = 1.0 - mc_patch(_sphere(1.0), 0.07, 0.27)[2].min()
    small = 1.0 - mc_patch(_sphere(0.1), 0.07, 0.27)[2].min()
    assert 0.3 * wide < small < 0.85 * wide


@pytest.mark.parametrize("shape", MC_SHAPES)
def test_every_label_has_a_pixel(many: list[McSpec], shape: str) -> None:
    for mc in [mc for mc in many if mc.shape == shape][:20]:
        assert mc_patch(mc, 0.07, 0.27)[3].any()


def test_rim_is_labelled_with_its_inside() -> None:
    ring = McSpec(2.1, 2.1, 0.8, 300.0, 0.0, 1.0, "rim", (*SPHERE, (0.0, 0.0, 0.8, 0.8, 0.0, -0.8)), 0)
    top, left, transmission, label = mc_patch(ring, 0.07, 0.27)
    centre = (30 - top, 30 - left)
    assert label[centre]
    assert -math.log(transmission[centre]) < 0.5 * -math.log(transmission.min())


def test_touching_mcs_keep_apart_and_a_covered_one_keeps_its_peak() -> None:
    strong = np.full((3, 3), 2.0)
    weak = np.full((3, 3), 1.0)
    weak[1, 1] = 1.5
    full = np.ones((3, 3), bool)
    beside = assign_instances((8, 8), [(1, 1, 1, strong, full), (2, 1, 4, weak, full)])
    assert (beside == 1).sum() == 9 and (beside == 2).sum() == 9
    overlap = assign_instances((8, 8), [(1, 1, 1, strong, full), (2, 1, 2, weak, full)])
    assert (overlap == 1).sum() == 9 and (overlap == 2).sum() == 3
    covered = assign_instances((8, 8), [(1, 1, 1, strong, full), (2, 1, 1, weak, full)])
    assert (covered == 2).sum() == 1 and covered[2, 2] == 2


def test_labels_beyond_the_border_are_cut() -> None:
    full = np.ones((3, 3), bool)
    instances = assign_instances((5, 5), [(1, -2, -2, np.ones((3, 3)), full), (2, 7, 7, np.ones((3, 3)), full)])
    assert instances[0, 0] == 1 and (instances > 0).sum() == 1


def test_small_mcs_are_thick_enough_to_be_outlined_more_often_than_specimens(many: list[McSpec]) -> None:
    small = [mc.thickness_um for mc in many if 0.18 < mc.diameter_mm < 0.26]
    assert np.mean(np.array(small) >= 200.0) > 0.4  # 15 % with one draw of the specimens' ratio
    assert max(mc.thickness_um / 1000 / mc.diameter_mm for mc in many) <= 1.6 + 1e-9
