"""What the page says in prose: one text per figure, and the paragraph under the title. HTML, `{...}` is filled in.

`{sample}` are the numbers of images and MCs, `{intervals}` how intervals were made; `[key|text]` is a link to a
definition.
"""

from __future__ import annotations

import re
from html import escape

CAPTIONS = {
    "froc": (
        "[froc|FROC]: share of [mc|MCs] [hit|hit] against [fp|FP per cm²]; {sample}. Left: the bands are pointwise 95"
        " % [bootstrap|intervals] ({intervals}). Right: the same curves, logarithmic. Markers: [operating|operating "
        "thresholds]."
    ),
    "iou": (
        "[iou|IoU] at the operating threshold; {sample}. Left: every annotated MC larger than one pixel, 0 when "
        "missed. Right: images that hold MCs. Box: quartiles; line: median; diamond: mean; whiskers: to the last "
        "value within 1.5 box lengths; dots: values beyond, or, where there are at most {dots}, all values. No "
        "intervals: see the table."
    ),
    "sizes": (
        "Annotated MCs by the diameter of the circle of their area, found and missed at the operating threshold; the "
        "whole bar is the reference. “1 px”: labels of one pixel, which have no size. {sample}."
    ),
    "strata": (
        "[tpr|TPR] at the operating threshold by diameter and by [contrast|contrast to noise]; bars are 95 % "
        "intervals ({intervals}). {sample}."
    ),
    "clusters": (
        "Share of the {clusters} annotated clusters found against false-positive clusters per image; {sample}. "
        "Intervals: see the table."
    ),
    "pixels": (
        "[pixel|Pixels] of the breast by the score of each method's map: ROC with a logarithmic axis, and precision-"
        "recall. {positive} of {pixels} pixels belong to MCs; {sample}. No intervals are computed for pixels. Dotted:"
        " chance. A curve that begins with a jump has many pixels of the highest score. A map that is meant to be "
        "high around MCs too, such as a proximity map, or zero outside of candidates, is judged here for what it is "
        "not."
    ),
    "reliability": (
        "Reliability: share of scores that are true against the mean score, in bins of equal width; bins of fewer "
        "than {least} scores are not drawn. On the dotted line a score is a probability. Left: marks, whatever their "
        "score; right: pixels. See [ece|ECE]. {sample}; no intervals."
    ),
    "cases": (
        "<p>Best, median and worst image of {reference} by its mean [iou|IoU per object] in the image at the "
        "operating threshold (a missed MC counts 0). Shown is the window with most annotated MCs, chosen without "
        "regard to any method and the same for all; grey values are stretched to it.</p>"
    ),
    "case": (
        "<strong>{kind}</strong>: {case_id}, mean IoU per object {value:.3f}. Marks at each method's own operating "
        "threshold; violet: region to be ignored."
    ),
    "lead": (
        "{images} images of {patients} patients, {images_without_mc} of them without [mc|MCs]; {annotated} annotated "
        "MCs ({annotated_single_px} of a single pixel) on {breast_cm2:.0f} cm² of breast. Small figures under a "
        "number are its 95 % [bootstrap|bootstrap interval] ({intervals}). All comparisons are with {reference}. <a "
        'href="#definitions">Definitions</a> and <a href="#provenance">provenance</a> are at the end.'
    ),
}


def caption(key: str, **values: object) -> str:
    """A text with its values, escaped, and its links.

    Args:
        key: of `CAPTIONS`.
        values: what to fill in.
    """
    linked = re.sub(r"\[(\w+)\|([^\]]+)\]", r'<a href="#def-\1">\2</a>', CAPTIONS[key])
    return linked.format(**{name: escape(v) if isinstance(v, str) else v for name, v in values.items()})
