import itertools

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import blob_dog

from scripts.candidates.dog_discs import dog_blobs, draw_discs, extract_patches, peak_differences
from scripts.candidates.hdog import HDoGParameters, hdog

CONTEXT = HDoGParameters(sigma_min_px=1.6, sigma_max_px=2.0, dog_threshold=0.01)


def blobs_image(places, shape=(90, 80), sigma=1.8, height=0.4):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 0.3)
    for row, col in places:
        image += height * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * sigma**2))
    return np.clip(image, 0, 1).astype(np.float32)


def test_blobs_equal_scikit_images():
    image = np.clip(
        blobs_image([(20, 30), (60, 50), (40, 10)]) + np.random.default_rng(0).normal(0, 0.06, (90, 80)), 0, 1
    )
    image = image.astype(np.float32)
    expected = blob_dog(image.astype(float), min_sigma=1.6, max_sigma=2.0, sigma_ratio=1.6, threshold=0.01, overlap=1)
    found = dog_blobs(image, CONTEXT)
    assert len(found) > 10  # noise too
    assert {tuple(b) for b in found[:, :2].tolist()} == {tuple(b) for b in expected[:, :2].tolist()}
    assert {round(s, 3) for s in found[:, 2].tolist()} == {1.6}


def test_blobs_come_strongest_first_one_a_pixel_and_within_the_mask():
    image = np.maximum(blobs_image([(20, 30)], height=0.2), blobs_image([(60, 50)], height=0.5))
    assert dog_blobs(image, CONTEXT)[:2, :2].tolist() == [[60, 50], [20, 30]]
    within = np.zeros(image.shape, bool)
    within[:40] = True
    assert dog_blobs(image, CONTEXT, within)[:, :2].tolist() == [[20, 30]]
    noise = np.random.default_rng(1).random((50, 50)).astype(np.float32)
    many = dog_blobs(noise, HDoGParameters(sigma_min_px=0.7, sigma_max_px=6, dog_threshold=0))
    assert len(np.unique(many[:, :2], axis=0)) == len(many) > 20
    assert dog_blobs(np.full((9, 9), 0.5, np.float32), CONTEXT).shape == (0, 3)


def test_discs_equal_brute_force_and_shared_pixels_go_to_the_nearest():
    rng = np.random.default_rng(3)
    places = rng.choice(20 * 25, 25, replace=False)
    blobs = np.stack([places // 25, places % 25, rng.uniform(0.5, 2.5, 25)], axis=1)
    scores = rng.permutation(25) / 25
    expected = np.zeros((20, 25), int)
    for row in range(20):
        for col in range(25):
            squared = (blobs[:, 0] - row) ** 2 + (blobs[:, 1] - col) ** 2
            reached = [i for i in range(25) if squared[i] <= 2 * blobs[i, 2] ** 2]
            if reached:
                expected[row, col] = 1 + min(reached, key=lambda i: (squared[i], -scores[i]))
    labels = draw_discs(blobs, scores, (20, 25))
    np.testing.assert_array_equal(labels, expected)
    assert set(range(1, 26)) <= set(labels.ravel().tolist())  # each keeps its centre
    within = expected % 2 == 0
    np.testing.assert_array_equal(draw_discs(blobs, scores, (20, 25), within), np.where(within, expected, 0))
    assert not draw_discs(np.zeros((0, 3)), np.zeros(0), (4, 5)).any()


def test_a_published_candidate_is_a_disc_of_21_pixels():
    labels = draw_discs(np.array([[10, 10, 1.6]]), np.ones(1), (21, 21))
    assert labels.sum() == sum(r * r + c * c <= 2 * 1.6**2 for r in range(-5, 6) for c in range(-5, 6))


def test_score_is_the_largest_difference_of_gaussians_and_above_the_threshold():
    image = np.maximum(blobs_image([(20, 30)], height=0.2), blobs_image([(60, 50)], height=0.6))
    parameters = HDoGParameters()
    labels, count = ndimage.label(hdog(image, parameters).mask)
    scores = peak_differences(image, labels, parameters)
    smooth = [ndimage.gaussian_filter(image.astype(float), 1.18 * 1.6**n) for n in range(4)]
    difference = np.max([a - b for a, b in itertools.pairwise(smooth)], axis=0)
    np.testing.assert_allclose(scores[1:], ndimage.maximum(difference, labels, range(1, count + 1)), atol=1e-5)
    assert scores[labels[60, 50]] > 2 * scores[labels[20, 30]] > 0 and scores[0] == 0
    assert scores[1:].min() > 0.006 * 0.6  # T_DoG in these units
    assert peak_differences(image, np.zeros(image.shape, int), parameters).tolist() == [0]


@pytest.mark.parametrize("side", [1, 5, 13])
def test_patches_are_windows_of_the_mirrored_image(side):
    image = np.random.default_rng(4).integers(0, 999, (14, 17)).astype(np.uint16)
    centres = np.array([[0, 0], [7, 8], [13, 16], [1, 15]])
    wide = np.pad(image, side // 2, mode="symmetric")
    expected = np.stack([wide[r : r + side, c : c + side] for r, c in centres])
    patches = extract_patches(image, centres, side)
    np.testing.assert_array_equal(patches, expected)
    assert patches.dtype == image.dtype and (patches[:, side // 2, side // 2] == image[tuple(centres.T)]).all()


def test_even_patches_are_refused():
    with pytest.raises(ValueError, match="side_px: got 4"):
        extract_patches(np.zeros((9, 9)), np.zeros((1, 2), int), 4)
    assert extract_patches(np.zeros((9, 9)), np.zeros((0, 2), int), 5).shape == (0, 5, 5)
