"""What the report's terms mean, in short; the full text is docs/metrics.md."""

from __future__ import annotations

#: anchor -> (term, meaning)
DEFINITIONS: dict[str, tuple[str, str]] = {
    "mc": ("MC", "Microcalcification. An annotated MC is an 8-connected component of the reference's pixels."),
    "hit": (
        "Hit",
        "A mark hits an annotated MC when their centroids are at most {hit_distance_mm:g} mm apart, or else when their "
        "IoU is at least {hit_iou:g}. Each mark is used at most once ({matching} matching). A mark that hits none is a "
        "false positive (FP); marks that lie mostly in a region to be ignored count nowhere.",
    ),
    "tpr": ("TPR", "True-positive rate: annotated MCs hit / annotated MCs, over all images together."),
    "fp": ("FP per cm²", "False positives / area of the breast outside of regions to be ignored, over all images."),
    "froc": (
        "FROC, pAUC",
        "TPR against FP per cm² at every threshold; a step function. The TPR at a rate is the largest one whose FP per "
        "cm² does not exceed it. pAUC is the area under the steps from 0 to {fp_limit_per_cm2:g} FP per cm², divided "
        "by that range.",
    ),
    "operating": (
        "Operating threshold",
        "The score from which on marks are shown. Either chosen beforehand on other images, or the point of the FROC "
        "nearest to (0 FP per cm², TPR 1) on these very images, which flatters.",
    ),
    "iou": (
        "IoU",
        "Intersection / union of pixels. Per object: for every annotated MC larger than one pixel the best IoU with "
        "any mark, 0 if none touches it. Per image: of all MC pixels (foreground); mean IoU is the mean of that and of "
        "the background's, which is always near 1.",
    ),
    "pixel": (
        "Pixel curves",
        "Every pixel of the breast is a case: positive when it belongs to an annotated MC, scored by the method's map. "
        "Average precision is the sum of (rise of recall) × precision, not interpolated.",
    ),
    "ece": (
        "ECE",
        "Expected calibration error: mean over scores of |mean score − share that is true| of their bin. Nearly all "
        "pixels are background, which makes the ECE of pixels small whatever the MCs do.",
    ),
    "agreement": (
        "Specific agreement, kappa",
        "2 TP / (2 TP + FP + FN), and Cohen's kappa over the cells of a square grid.",
    ),
    "contrast": (
        "Contrast to noise",
        "(mean of the MC − mean of the ring around it) / standard deviation of the ring.",
    ),
    "bootstrap": (
        "Intervals",
        "95 % percentile intervals of {samples} bootstrap samples of {unit}s drawn with replacement, seed {seed}; the "
        "operating threshold is held fixed. With few images they are too narrow.",
    ),
}


def define(froc: dict, bootstrap: dict) -> dict[str, tuple[str, str]]:
    """The definitions with the evaluation's own numbers.

    Args:
        froc: section of metrics.json (hit rule, matching, range of pAUC).
        bootstrap: provenance of metrics.json (samples, unit, seed).
    """
    return {key: (term, text.format(**froc, **bootstrap)) for key, (term, text) in DEFINITIONS.items()}
