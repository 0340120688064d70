"""Candidates of the context-sensitive CNN: DoG blobs without shape, drawn as discs; and HDoG objects by strength.

Wang & Yang 2018 classify the positions of DoG blobs; HDoGReg compares with them by detection. A disc of the radius
that the blob's scale stands for, sqrt(2) * sigma, makes an object of each position.
"""

import numpy as np

from scripts.candidates.dog import dog_responses, prune_overlaps, scale_space_maxima
from scripts.candidates.hdog import HDoGParameters
from scripts.common.checks import check


def dog_blobs(image: np.ndarray, parameters: HDoGParameters, within: np.ndarray | None = None) -> np.ndarray:
    """Local maxima of the DoG responses above the threshold, one per pixel; the Hessian threshold is not used.

    The image is float (rows, cols) in [0, 1], MCs bright, the parameters in px of it. Blobs, only those whose pixel is
    in `within`, bool (rows, cols), are float32 (n, 3), columns [row, col, sigma] in px, strongest response first.
    """
    if image.ndim != 2 or (within is not None and within.shape != image.shape):
        raise ValueError(f"image {image.shape} and within must be 2-D and of one shape")
    if image.size == 0:
        return np.empty((0, 3), np.float32)
    sigmas = parameters.sigmas
    responses = dog_responses(np.ascontiguousarray(image, np.float32), sigmas)
    maxima, strengths = scale_space_maxima(responses, parameters.dog_threshold)
    maxima = maxima[np.lexsort((*maxima.T[::-1], -strengths))]
    _, first = np.unique(maxima[:, 0] * image.shape[1] + maxima[:, 1], return_index=True)
    row, col, scale = maxima[np.sort(first)].T
    blobs = np.stack([row, col, sigmas[scale]], axis=1).astype(np.float32)
    stays = prune_overlaps(blobs, parameters.blob_overlap)
    return blobs[stays if within is None else stays & within[row, col]]


def draw_discs(
    blobs: np.ndarray, scores: np.ndarray, shape: tuple[int, ...], within: np.ndarray | None = None
) -> np.ndarray:
    """Number the discs of radius sqrt(2) * sigma around the blobs; a shared pixel goes to the nearest blob.

    Between blobs at the same distance the higher score has it. Centres must differ, so that each disc keeps its own.
    Blobs are float (n, 3), columns [row, col, sigma] in px, at whole pixels; scores float (n,). The result is int32 of
    this shape, 0 background, i + 1 the disc of blob i, cut at `within`, bool (rows, cols).
    """
    labels = np.zeros(shape, np.int32)
    if len(blobs) == 0:
        return labels
    order = np.argsort(scores, kind="stable")  # written later, so the last one stays
    centres = np.asarray(blobs)[order, :2].astype(np.int64)
    reach = 2 * np.asarray(blobs, np.float64)[order, 2] ** 2
    limit = int(np.sqrt(reach.max()))
    rows, cols = np.mgrid[-limit : limit + 1, -limit : limit + 1]
    squared = rows**2 + cols**2
    for distance in np.unique(squared)[::-1]:  # farthest first
        offsets = np.stack([rows[squared == distance], cols[squared == distance]], axis=1)
        near = reach >= distance
        points = (centres[near][:, None] + offsets).reshape(-1, 2)
        numbers = np.repeat(order[near] + 1, len(offsets))
        inside = ((points >= 0) & (points < shape)).all(axis=1)
        labels[tuple(points[inside].T)] = numbers[inside]
    return labels if within is None else np.where(within, labels, 0)


def peak_differences(image: np.ndarray, labels: np.ndarray, parameters: HDoGParameters) -> np.ndarray:
    """Score of each object by its own strength: the largest difference of Gaussians within it, over all scales.

    The scale-normalised response of `dog_responses` is this difference times 1 / (k - 1), the same for every scale, so
    the score is the response mapped linearly to [0, 1]: for images in [0, 1] no difference exceeds 1.

    Labels are int (rows, cols), 0 background, 1..n objects; the parameters are those that found the candidates. Scores
    are float32 (n + 1,); index 0 (background) is 0.
    """
    image = np.ascontiguousarray(image, np.float32)
    scores = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    if scores.size == 1:
        return scores
    strongest = np.maximum.reduce(dog_responses(image, parameters.sigmas)) * np.float32(parameters.sigma_ratio - 1)
    where = np.nonzero(labels)
    np.maximum.at(scores, labels[where], strongest[where])
    return np.clip(scores, 0, 1)


def extract_patches(image: np.ndarray, centres: np.ndarray, side_px: int) -> np.ndarray:
    """Square windows around pixels; beyond the border the image is mirrored.

    Centres are int (n, 2), columns [row, col]; the result is (n, side_px, side_px) of the image's type, the side odd.
    """
    check("side_px", side_px, side_px >= 1 and side_px % 2, "an odd number of pixels")
    half = side_px // 2
    patches = np.empty((len(centres), side_px, side_px), image.dtype)
    for patch, centre in zip(patches, np.asarray(centres, np.int64), strict=True):
        first, last = np.maximum(centre - half, 0), np.minimum(centre + half + 1, image.shape)
        window = np.asarray(image[first[0] : last[0], first[1] : last[1]])
        missing = np.stack([first - (centre - half), centre + half + 1 - last], axis=1)
        patch[:] = np.pad(window, missing, mode="symmetric") if missing.any() else window
    return patches
