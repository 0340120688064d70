"""Wrong rules, one textual change each: the rule in plain words, where it stands, and tests that must notice.

A change must match its file exactly once; when code moves, its entry here moves with it.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One wrong rule.

    Attributes:
        rule: what holds, in plain words; the change breaks it.
        file: in scripts/evaluation.
        old, new: text that is there once, and what it becomes.
        tests: in tests/evaluation, file::test; at least one of them must fail.
    """

    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


DISTANCE = ("test_matching.py::test_distance_bound_is_in_mm_and_inclusive",)
IOU = ("test_matching.py::test_iou_bound_is_inclusive_and_only_asked_beyond_the_distance",)
IGNORE = ("test_matching.py::test_majority_in_an_ignore_region_counts_nowhere",)
AREA = ("test_matching.py::test_area_is_the_breasts_in_square_centimetres",)
ONCE = ("test_matching.py::test_each_prediction_is_used_once_and_first_comes_first",)
CURVE = ("test_froc.py::test_a_hand_worked_curve",)
EMPTY_FROC = ("test_froc.py::test_empty_prediction_empty_truth_and_both",)
EMPTY_IOU = ("test_iou.py::test_empty_prediction_empty_truth_and_both",)
BEST = ("test_iou.py::test_the_best_overlap_counts_and_single_pixels_do_not",)
PIXELS = ("test_iou.py::test_equals_pixel_counting_at_every_threshold",)
BINS = ("test_strata.py::test_bins_have_inclusive_lower_ends_and_single_pixels_are_apart",)
LARGE = ("test_part_tpr.py::test_a_hand_worked_example",)
READERS = ("test_agreement.py::test_two_readers_by_hand",)
KINDS = ("test_failure_classes.py::test_figures_by_hand",)
CLUSTERS = ("test_cluster_froc.py::test_a_hand_worked_curve",)

MUTANTS = (
    Mutant(
        "a centroid distance of exactly 0.35 mm is a hit",
        *("cases.py", "(distance_mm <= self.distance_mm + ROUNDING_MM)", "(distance_mm < self.distance_mm)", DISTANCE),
    ),
    Mutant(
        "the hit distance is in mm, not in px of 0.07 mm",
        "cases.py",
        "(np.stack([o.row, o.col], 1) * spacing_mm for o",
        "(np.stack([o.row, o.col], 1) * 0.07 for o",
        DISTANCE,
    ),
    Mutant(
        "the row spacing belongs to rows, the column spacing to columns",
        "cases.py",
        "(np.stack([o.row, o.col], 1) * spacing_mm for o",
        "(np.stack([o.row, o.col], 1) * spacing_mm[::-1] for o",
        DISTANCE,
    ),
    Mutant("an IoU of exactly 0.3 is a hit", "cases.py", "(iou >= self.iou)", "(iou > self.iou)", IOU),
    Mutant(
        "near or overlapping is enough; both are not needed",
        *("cases.py", "ROUNDING_MM) | (iou", "ROUNDING_MM) & (iou", DISTANCE),
    ),
    Mutant(
        "a prediction half in an ignore region still counts",
        *("cases.py", "2 * ignored_px > area", "2 * ignored_px >= area", IGNORE),
    ),
    Mutant(
        "a prediction in an ignore region is no false positive",
        *("cases.py", "(self.score >= threshold) & ~self.ignored", "(self.score >= threshold)", IGNORE),
    ),
    Mutant(
        "an ignore region holds no annotated objects",
        "cases.py",
        "label_objects(label == MC)",
        "label_objects(label > 0)",
        ("test_matching.py::test_annotated_objects_are_8_connected_and_ignore_is_none",),
    ),
    Mutant(
        "a score equal to the threshold takes part",
        "cases.py",
        "(self.score >= threshold) & ~self.ignored",
        "(self.score > threshold) & ~self.ignored",
        ("test_matching.py::test_threshold_is_inclusive",),
    ),
    Mutant(
        "false positives are per cm^2, not per mm^2", "cases.py", "row_mm * col_mm / 100)", "row_mm * col_mm)", AREA
    ),
    Mutant(
        "false positives are per area of the breast, not of the image",
        *("cases.py", "np.count_nonzero(breast & ~ignore)", "np.count_nonzero(~ignore)", AREA),
    ),
    Mutant(
        "ignore regions are no breast area",
        *("cases.py", "np.count_nonzero(breast & ~ignore)", "np.count_nonzero(breast)", IGNORE),
    ),
    Mutant(
        "label order is the order of first pixels, not of the method's numbers",
        "cases.py",
        "order = np.argsort(first)",
        "order = np.arange(first.size)",
        ("test_matching.py::test_greedy_takes_the_first_in_label_order_optimal_the_nearest",),
    ),
    Mutant(
        "a prediction is used for one annotated object only",
        *("matching.py", "held[a], free[p] = p, False", "held[a] = p", ONCE),
    ),
    Mutant(
        "an annotated object keeps the first prediction that hits it",
        *("matching.py", "if held[a] < 0 and free[p]:", "if free[p]:"),
        ("test_matching.py::test_greedy_takes_the_first_in_label_order_optimal_the_nearest",),
    ),
    Mutant(
        "optimal matching prefers more hits to nearer ones",
        *("matching.py", "none = min(a.size, p.size) + 1.0", "none = 1.0"),
        ("test_matching.py::test_optimal_prefers_more_hits_to_nearer_ones",),
    ),
    Mutant(
        "walking down the thresholds hands predictions on as matching anew would",
        *("matching.py", "if held[a] < 0 or held[a] > prediction:", "if held[a] < 0:"),
        ("test_cluster_froc.py::test_the_walks_false_positives_are_those_of_matching_anew",),
    ),
    Mutant(
        "the lowest threshold is a point of the curve",
        *("froc.py", "[True] * bool(score.size)", "[False] * bool(score.size)", CURVE),
    ),
    Mutant(
        "equal scores are one point of the curve",
        *("froc.py", "np.diff(self._score) != 0", "np.diff(self._score) <= 0"),
        ("test_froc.py::test_equal_scores_of_two_images_are_one_point",),
    ),
    Mutant(
        "TPR at a rate is taken where the rate is not exceeded, the bound included",
        "froc.py",
        'np.searchsorted(fp, asked, side="right") - 1',
        'np.searchsorted(fp, asked, side="left") - 1',
        ("test_froc.py::test_tpr_at_a_rate_is_a_step_not_a_line",),
    ),
    Mutant(
        "pAUC is divided by its range",
        *("froc.py", "(widths * self.tpr).sum() / fp_limit", "(widths * self.tpr).sum()"),
        ("test_froc.py::test_pauc_is_the_normalised_area_under_the_steps",),
    ),
    Mutant(
        "without annotated objects TPR is undefined, not 0",
        *("froc.py", "np.full(count.shape, np.nan)", "np.zeros(count.shape)", EMPTY_FROC),
    ),
    Mutant(
        "false positives per image are divided by all images",
        *("froc.py", "rate(fp, weights.sum())", "rate(fp, (weights * (self.annotated > 0)).sum())", EMPTY_FROC),
    ),
    Mutant(
        "the empty point is no operating point",
        "froc.py",
        "return None if not distance.size or np.isnan(distance).any() else int(np.argmin(distance)) + 1",
        "return int(np.argmin(np.hypot(self.fp_per_cm2, 1 - self.tpr)))",
        EMPTY_FROC,
    ),
    Mutant(
        "empty truth and empty prediction agree: IoU 1",
        *("iou.py", "if union > 0 else 1.0", "if union > 0 else 0.0", EMPTY_IOU),
    ),
    Mutant("single pixels have no IoU", "iou.py", "area_px > 1]", "area_px > 0]", BEST),
    Mutant(
        "a prediction's pixels in an ignore region are in no IoU",
        *("iou.py", "predictions.counted_px[kept]", "predictions.area_px[kept]", PIXELS),
    ),
    Mutant(
        "the best overlap counts, not the last",
        *("iou.py", "np.maximum.at(best, pairs.annotation[kept], pairs.iou[kept])"),
        *("best[pairs.annotation[kept]] = pairs.iou[kept]", PIXELS),
    ),
    Mutant(
        "single pixels are a stratum of their own",
        *("strata.py", "        return np.where(np.asarray(area_px) == 1, 0, place)"),
        *("        return np.where(np.asarray(area_px) == 0, 0, place)", BINS),
    ),
    Mutant(
        "a bin holds its lower edge",
        *("strata.py", 'np.searchsorted(edges, value, side="right") + 1'),
        *('np.searchsorted(edges, value, side="left") + 1', BINS),
    ),
    Mutant(
        "the diameter is that of the circle of equal area",
        *("strata.py", "return 2 * np.sqrt(", "return np.sqrt("),
        ("test_strata.py::test_diameter_is_that_of_the_circle_of_the_same_area",),
    ),
    Mutant("an MC of exactly the least diameter is large", "part_tpr.py", ">= least_mm for", "> least_mm for", LARGE),
    Mutant(
        "the TPR of large MCs is of large MCs only",
        *("part_tpr.py", "self.annotated = np.array([part.sum()", "self.annotated = np.array([part.size", LARGE),
    ),
    Mutant(
        "false-positive clusters that join are not forgiven",
        *("cluster_froc.py", "false = np.maximum.accumulate(false)", "false = np.abs(false)"),
        ("test_cluster_froc.py::test_clusters_of_false_positives_that_join_are_not_forgiven",),
    ),
    Mutant(
        "a cluster is found at its second hit, not its first",
        *("cluster_froc.py", "== rule.hits", "== 1", CLUSTERS),
    ),
    Mutant(
        "a matched object marks one cell for both readers, whatever border it lies on",
        *("agreement.py", "alone[held[matched]] = False", "alone[:0] = False", READERS),
    ),
    Mutant(
        "a cell counts when more than half of it does",
        *("agreement.py", "2 * sums > np.multiply", "2 * sums >= np.multiply"),
        ("test_agreement.py::test_cells_by_hand",),
    ),
    Mutant(
        "a false positive on a large MC is not one around it",
        *("failure_classes.py", "(distance > 0) & (distance <= rule.margin_mm)", "(distance <= rule.margin_mm)", KINDS),
    ),
    Mutant(
        "pieces and merging count predictions at the threshold, not all of them",
        *("failure_classes.py", "used = kept[pairs.prediction] & (pairs.iou > 0)", "used = pairs.iou > 0"),
        ("test_failure_classes.py::test_equals_counting_in_sets_of_pixels",),
    ),
    Mutant(
        "near without touching is no piece",
        *("failure_classes.py", "used = kept[pairs.prediction] & (pairs.iou > 0)", "used = kept[pairs.prediction]"),
        ("test_failure_classes.py::test_equals_counting_in_sets_of_pixels",),
    ),
    Mutant(
        "a point label is not faint",
        *("failure_classes.py", "(values[CONTRAST] < self.contrast) & (case.annotations.area_px > 1)"),
        *("values[CONTRAST] < self.contrast", ("test_failure_classes.py::test_bounds_are_the_stated_ones",)),
    ),
    Mutant(
        "an object is not its own neighbour",
        *("surroundings.py", "np.int64) - 1", "np.int64)"),
        ("test_failure_classes.py::test_neighbours_are_within_the_radius_inclusive",),
    ),
    Mutant(
        "single-pixel labels that are hit are counted apart",
        *("tables.py", "int((held[single] >= 0).sum())", "int((held >= 0).sum())"),
        ("test_evaluate.py::test_tables_by_hand", "test_evaluate.py::test_a_given_threshold_is_used_as_it_is"),
    ),
)
