import logging
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.data.splits import folded_datalist, keep_annotated, mixed_datalist, patient_split, split_datalist


def items_of(patients, annotation="full", images=2):
    return [
        {"image_id": f"{name}-{number}", "patient": name, "annotation": annotation}
        for name in patients
        for number in range(images)
    ]


def ids(parts):
    return [sorted(item["image_id"] for item in part) for part in parts]


def all_ids(parts):
    return [item["image_id"] for part in parts for item in part]


def patients_of(items):
    return {item["patient"] for item in items}


def test_hdogreg_proportions():
    datalist = split_datalist(items_of(f"p{n}" for n in range(86)), 17 / 86, 18 / 86, seed=0)
    assert {part: len(patients_of(items)) for part, items in datalist.items()} == {
        "training": 51,
        "validation": 17,
        "testing": 18,
    }


def test_deterministic_by_seed_and_independent_of_order():
    items = items_of("abcdefghijklmnop")
    first = patient_split(items, (0.5, 0.25, 0.25), seed=7)
    assert ids(first) == ids(patient_split(items[::-1], (0.5, 0.25, 0.25), seed=7))
    assert ids(first) != ids(patient_split(items, (0.5, 0.25, 0.25), seed=8))
    assert [item["image_id"] for item in first[0]] == sorted(item["image_id"] for item in first[0])


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 99),
)
def test_every_item_once_no_patient_twice_and_right_counts(counts, cuts, seed):
    kinds = zip("xyz", ("full", "clusters_only", "none"), counts, strict=True)
    items = [item for letter, kind, count in kinds for item in items_of((f"{letter}{n}" for n in range(count)), kind)]
    low, high = sorted(cuts)
    fractions = (low, high - low, 1 - high)
    parts = patient_split(items, fractions, seed)
    assert sorted(all_ids(parts)) == sorted(item["image_id"] for item in items)
    assert sum(len(patients_of(part)) for part in parts) == sum(counts)
    for part, fraction in zip(parts, fractions, strict=True):
        in_stratum = Counter(name[0] for name in patients_of(part))
        for letter, count in zip("xyz", counts, strict=True):
            assert abs(in_stratum[letter] - fraction * count) < 1 + 1e-6


def test_stratum_is_the_best_annotation_of_the_patient():
    mixed = [item for name in "abcd" for item in items_of([name], "full", 1) + items_of([name], "none", 3)]
    parts = patient_split(mixed + items_of("wxyz", "none"), (0.5, 0.5), seed=0)
    assert [len(patients_of(part) & set("abcd")) for part in parts] == [2, 2]


def test_zero_fraction_and_empty_list():
    assert [len(part) for part in patient_split(items_of("abc"), (1, 0, 0), seed=0)] == [6, 0, 0]
    assert patient_split([], (0.5, 0.5), seed=0) == [[], []]


@pytest.mark.parametrize(("validation", "test"), [(0, 0.25), (0.75, 0.25), (0.8, 0.2), (0.9, 0.1), (0, 1), (1, 0)])
def test_a_fraction_of_zero_leaves_its_section_empty_without_a_warning(validation, test, caplog):
    datalist = split_datalist(items_of("abcdefghijklmnopqrst"), validation, test, seed=0)
    wanted = [20 * (1 - validation - test), 20 * validation, 20 * test]
    assert [len(patients_of(items)) for items in datalist.values()] == pytest.approx(wanted)
    assert not caplog.records


def test_an_empty_part_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        patient_split(items_of("a"), (0.8, 0.2), seed=0)
    assert "only 1 patients" in caplog.text


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.2, -0.2), (0.3, 0.3)])
def test_bad_fractions(fractions):
    with pytest.raises(ValueError, match="fractions: got"):
        patient_split(items_of("ab"), fractions, seed=0)


def test_folds_are_balanced_and_disjoint():
    items = items_of("abcdefg") + items_of("uvwxyz", "none")
    parts = [folded_datalist({"training": items}, 3, fold, seed=1)["testing"] for fold in range(3)]
    assert sorted(all_ids(parts)) == sorted(item["image_id"] for item in items)
    assert sorted(len(patients_of(part)) for part in parts) == [4, 4, 5]
    assert sorted(len(patients_of(part) & set("abcdefg")) for part in parts) == [2, 2, 3]


def test_cross_validation_roles_rotate():
    items = items_of("abcdefghij")
    lists = [folded_datalist({"training": items[:9], "testing": items[9:]}, 5, fold, seed=2) for fold in range(5)]
    assert sorted(all_ids(one["testing"] for one in lists)) == sorted(item["image_id"] for item in items)
    for fold, one in enumerate(lists):
        assert ids([one["validation"]]) == ids([lists[(fold + 1) % 5]["testing"]])
        groups = [patients_of(part) for part in one.values()]
        assert len(set.union(*groups)) == sum(map(len, groups)) == 10


@pytest.mark.parametrize(("folds", "fold"), [(2, 0), (5, 5), (5, -1), (11, 0)])
def test_bad_folds(folds, fold):
    with pytest.raises(ValueError, match=r"folds?: got"):
        folded_datalist({"training": items_of("abcdefghij")}, folds, fold)


def test_keep_annotated():
    datalist = {"training": items_of("a", "full") + items_of("b", "none")}
    assert patients_of(keep_annotated(datalist, ["full"])["training"]) == {"a"}
    for bad in (["partial"], "full"):
        with pytest.raises(ValueError, match="annotations: got"):
            keep_annotated(datalist, bad)


def test_mixed_sources_repeat_training_items_only():
    few, many = {"training": [{"n": 1}], "testing": [{"n": 2}]}, {"training": [{"n": 3}, {"n": 4}]}
    mixed = mixed_datalist([few, many], repeats=[2, 1])
    assert {section: [item["n"] for item in items] for section, items in mixed.items()} == {
        "training": [1, 1, 3, 4],
        "testing": [2],
    }
    for sources, repeats in (([], None), ([few], [1, 1]), ([few], [0])):
        with pytest.raises(ValueError, match="; want "):
            mixed_datalist(sources, repeats)
