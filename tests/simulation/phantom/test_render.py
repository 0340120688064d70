"""Whole phantoms at a small size."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import ndimage

from scripts.evaluation.cases import score_case
from scripts.simulation.phantom import Phantom, PhantomSpec, render, sample_spec

SHAPE = (512, 400)
Case = tuple[PhantomSpec, Phantom]


def _spec(seed: int = 0, **options: object) -> PhantomSpec:
    return sample_spec(np.random.default_rng(seed), shape=SHAPE, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def case() -> Case:
    spec = _spec(7, density="heterogeneous", view="CC")
    return spec, render(spec)


def test_arrays_have_the_promised_types(case: Case) -> None:
    spec, phantom = case
    assert phantom.image.shape == phantom.mask.shape == phantom.breast.shape == SHAPE
    assert (phantom.image.dtype, phantom.mask.dtype, phantom.instances.dtype) == (np.uint16, np.uint8, np.uint16)
    assert phantom.noise_free.dtype == np.float32 and phantom.breast.dtype == bool
    assert phantom.image.max() < 2**spec.presentation.bits
    assert phantom.noise_free.min() >= 0.0 and phantom.noise_free.max() <= 1.0


def test_same_spec_same_bytes_and_other_seeds_differ(case: Case) -> None:
    spec, phantom = case
    again = render(_spec(7, density="heterogeneous", view="CC"))
    assert again.image.tobytes() == phantom.image.tobytes()
    assert again.instances.tobytes() == phantom.instances.tobytes()
    assert again.mcs == phantom.mcs
    other = render(dataclasses.replace(spec, seed=spec.seed + 1))
    assert (other.image != phantom.image).mean() > 0.2


def test_mask_instances_and_records_agree(case: Case) -> None:
    spec, phantom = case
    np.testing.assert_array_equal(phantom.mask == 1, phantom.instances > 0)
    assert len(phantom.mcs) == len(spec.mcs)
    labelled = [mc for mc in phantom.mcs if mc.labelled]
    assert labelled and {mc.id for mc in labelled} == set(np.unique(phantom.instances)) - {0}
    for mc in labelled:
        own = phantom.instances == mc.id
        assert own.sum() * spec.spacing_mm**2 == pytest.approx(mc.area_mm2)
        row, col = ndimage.center_of_mass(own)
        assert math.hypot(row - mc.row, col - mc.col) < 0.8 * mc.diameter_mm / spec.spacing_mm + 1.5
        assert mc.cnr >= spec.min_cnr
    assert all(mc.cnr < spec.min_cnr for mc in phantom.mcs if not mc.labelled)


def test_unlabelled_mcs_appear_with_a_lower_bound(case: Case) -> None:
    spec, phantom = case
    all_labelled = render(dataclasses.replace(spec, min_cnr=0.0))
    assert all(mc.labelled for mc in all_labelled.mcs)
    np.testing.assert_array_equal(all_labelled.image, phantom.image)
    assert (phantom.mask == 2).any()
    fainter = (all_labelled.mask == 1) & (phantom.mask != 1)
    assert (phantom.mask[fainter] == 2).all()
    around = ndimage.distance_transform_cdt(~fainter, metric="chessboard")
    np.testing.assert_array_equal(phantom.mask == 2, (around <= 2) & (phantom.mask != 1))


def test_marks_on_fainter_mcs_are_neither_paid_nor_charged(case: Case) -> None:
    spec, phantom = case
    fainter = (render(dataclasses.replace(spec, min_cnr=0.0)).mask == 1) & (phantom.instances == 0)
    marks, count = ndimage.label(ndimage.binary_dilation(fainter, np.ones((3, 3))) & (phantom.instances == 0))
    scores, spacing = np.ones(count + 1), (spec.spacing_mm, spec.spacing_mm)
    found = score_case(phantom.mask, marks, scores, phantom.breast, spacing)
    assert count > 3 and found.predictions.ignored.all()


def test_mcs_brighten_the_noise_free_image_and_nothing_else() -> None:
    spec = _spec(3, density="scattered")
    with_mcs, without = render(spec), render(dataclasses.replace(spec, mcs=()))
    change = with_mcs.noise_free - without.noise_free
    strong = [mc for mc in with_mcs.mcs if mc.labelled]
    assert strong and without.mask.sum() == 0
    for mc in strong:
        drop = change[with_mcs.instances == mc.id].max() * spec.presentation.window
        assert drop == pytest.approx(-math.log(1.0 - mc.contrast), rel=0.15)
    far = ndimage.distance_transform_edt(change < 0.01) > 25
    assert abs(change[far]).max() < 0.004  # scatter and large-area compression only


def test_background_is_black_and_the_breast_is_not(case: Case) -> None:
    _, phantom = case
    air = ~ndimage.binary_dilation(phantom.breast, iterations=60)
    air[: SHAPE[0] // 10] = False  # letters
    assert air.any() and phantom.image[air].max() == 0
    assert phantom.noise_free[ndimage.binary_erosion(phantom.breast, iterations=20)].min() > 0.03


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_chest_wall_is_left_for_a_left_breast_and_right_for_a_right_one(view: str) -> None:
    left = render(_spec(1, view=view, laterality="L"))
    right = render(_spec(1, view=view, laterality="R"))
    middle = SHAPE[0] // 2
    assert left.breast[middle, 0] and not left.breast[middle, -1]
    assert right.breast[middle, -1] and not right.breast[middle, 0]
    np.testing.assert_array_equal(left.breast[:, ::-1], right.breast)
    np.testing.assert_array_equal(left.instances[:, ::-1], right.instances)
    for a, b in zip(left.mcs, right.mcs, strict=True):
        assert (a.row, SHAPE[1] - 1 - a.col) == pytest.approx((b.row, b.col))


def test_mlo_has_a_bright_pectoral_corner_and_cc_has_none() -> None:
    corners = {}
    for view in ("CC", "MLO"):
        spec = _spec(2, view=view, density="fatty")
        picture = render(spec).noise_free
        corners[view] = picture[5:40, 3:20].mean() - np.median(picture[picture > 0.02])
    assert corners["MLO"] > 0.1 > corners["CC"]


def test_noise_matches_quanta(case: Case) -> None:
    """In flat fat the log image's variance is the noise variance over the squared quanta."""
    spec, _ = case
    clear = dataclasses.replace(spec, mcs=(), structures=dataclasses.replace(spec.structures, dead_pixels=0, dust=0))
    phantom = render(clear)
    picture = phantom.image / (2**spec.presentation.bits - 1)
    noise = (picture - phantom.noise_free) * spec.presentation.window
    inner = ndimage.binary_erosion(phantom.breast, iterations=60)
    fat = inner & (phantom.noise_free < np.percentile(phantom.noise_free[inner], 10))
    quanta = 1.0 / noise[fat].var()
    assert 0.4 * spec.detector.quanta < quanta < 1.6 * spec.detector.quanta


@pytest.mark.parametrize("options", [{"bits": 14}, {"detector": "CsI", "spacing_mm": 0.1}, {"density": "dense"}])
def test_variants_render(options: dict) -> None:
    spec = _spec(11, **options)
    phantom = render(spec)
    assert phantom.image.max() < 2**spec.presentation.bits
    assert phantom.image[phantom.breast].std() > 0


def test_without_mcs_the_mask_is_empty() -> None:
    phantom = render(_spec(5, with_mcs=False))
    assert phantom.mask.sum() == 0 and phantom.mcs == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"view": "LM"}, "view"),
        ({"density": "C"}, "density"),
        ({"laterality": "B"}, "laterality"),
        ({"detector": "film"}, "detector"),
        ({"bits": 10}, "bits"),
    ],
)
def test_wrong_arguments_are_named(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _spec(**options)


def test_too_small_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="field"):
        sample_spec(np.random.default_rng(0), shape=(100, 100), spacing_mm=0.07)
