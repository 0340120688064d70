"""A twin of the evaluation that keeps all pixels and matches anew at every threshold; slow, plain, independent."""

import itertools
import math

import numpy as np
from scipy import ndimage


def objects_of(label, instances, scores, threshold):
    """Pixel sets of annotated objects and of counted predictions, both in raster order of their first pixel."""
    components, count = ndimage.label(label == 1, np.ones((3, 3)))
    truth = [set(map(tuple, np.argwhere(components == i + 1).tolist())) for i in range(count)]
    found = []
    for number in np.unique(instances[instances > 0]):
        pixels = set(map(tuple, np.argwhere(instances == number).tolist()))
        inside = sum(label[p] == 2 for p in pixels)
        if scores[number] >= threshold and not inside > len(pixels) / 2:
            found.append(pixels)
    return sorted(truth, key=min), sorted(found, key=min)


def is_hit(first, second, spacing, distance_mm=0.35, iou=0.3):
    centres = [np.mean(list(pixels), axis=0) * spacing for pixels in (first, second)]
    return math.dist(*centres) <= distance_mm + 1e-9 or len(first & second) / len(first | second) >= iou


def greedy_hits(truth, found, spacing):
    used, hits = set(), set()
    for a, b in itertools.product(range(len(truth)), range(len(found))):
        if a not in hits and b not in used and is_hit(truth[a], found[b], spacing):
            hits.add(a)
            used.add(b)
    return hits


def most_hits(truth, found, spacing):
    """Largest number of one-to-one hits, by trying everything."""
    table = [[b for b, f in enumerate(found) if is_hit(t, f, spacing)] for t in truth]

    def best(a, used):
        if a == len(table):
            return 0
        taken = [1 + best(a + 1, used | {b}) for b in table[a] if b not in used]
        return max([best(a + 1, used), *taken])

    return best(0, frozenset())


def froc(images, matching="greedy"):
    """Points {threshold: (tp, fp)} of (label, instances, scores, spacing) images, matched anew at every score."""
    points = {}
    every = {float(s) for label, inst, scores, _ in images for s in scores[np.unique(inst[inst > 0])]}
    for threshold in every:
        tp = fp = 0
        for label, instances, scores, spacing in images:
            truth, found = objects_of(label, instances, scores, threshold)
            hits = len(greedy_hits(truth, found, spacing)) if matching == "greedy" else most_hits(truth, found, spacing)
            tp, fp = tp + hits, fp + len(found) - hits
        points[threshold] = (tp, fp)
    return points


def pixel_iou(label, instances, scores, threshold):
    """Foreground and background IoU from pixel masks; whole ignored predictions and ignore pixels left out."""
    _, found = objects_of(label, instances, scores, threshold)
    mask = np.zeros(label.shape, bool)
    for pixels in found:
        mask[tuple(np.array(sorted(pixels)).T)] = True
    counted = label != 2
    truth, mask = (label == 1)[counted], mask[counted]
    values = []
    for a, b in ((truth, mask), (~truth, ~mask)):
        values.append((a & b).sum() / (a | b).sum() if (a | b).any() else 1.0)
    return values
