"""Groups of clusters: nearest centres are scikit-learn's, models are plain numbers, labels are duplicated."""

import json

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from scripts.data.reader.errors import MammogramReadError
from scripts.findings.features import CLUSTER_FEATURES
from scripts.findings.groups import (
    GroupModel,
    agreement,
    confusion,
    duplicated,
    fit_groups,
    group_names,
    load_groups,
    table_of,
)


def records(count, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (count, 24)) * np.arange(1, 25) + rng.integers(0, 5, (count, 1)) * 20
    table[rng.random(table.shape) < missing] = np.nan
    return [
        {name: None if np.isnan(value) else float(value) for name, value in zip(CLUSTER_FEATURES, row, strict=True)}
        for row in table
    ]


def test_applying_a_model_equals_scikit_learns_predict():
    known, new = records(80), records(200, 1)
    table, other = (table_of(part, list(CLUSTER_FEATURES)) for part in (known, new))
    scaler = StandardScaler().fit(table)
    fitted = KMeans(5, n_init=10, random_state=3).fit(scaler.transform(table))
    model = fit_groups(known, 5, seed=3)
    assert model.groups(known).tolist() == fitted.labels_.tolist()
    assert model.groups(new).tolist() == fitted.predict(scaler.transform(other)).tolist()
    np.testing.assert_allclose(model.standardised(other), scaler.transform(other))


def test_a_model_is_plain_numbers_and_comes_back_as_it_was(tmp_path):
    model = fit_groups(records(30, missing=0.1), 4)
    path = model.save(tmp_path / "groups.json")
    content = json.loads(path.read_text())
    assert content["schema"] == "microcalcification-groups-1" and content["features"] == list(CLUSTER_FEATURES)
    again = load_groups(path)
    assert again == model and again.groups(records(50, 2)).tolist() == model.groups(records(50, 2)).tolist()
    assert fit_groups(records(30, missing=0.1), 4) == model  # twice the same


def test_missing_features_take_the_median_and_constant_ones_do_not_count():
    known = [{"mc_count": value, "coverage": 0.5} for value in (1.0, 2.0, 9.0)] + [{"coverage": 0.5}]
    model = fit_groups(known, 2)
    place = model.features.index("mc_count")
    assert model.fill[place] == 2 and model.means[place] == (1 + 2 + 9 + 2) / 4
    assert set(model.scales) == {1.0, model.scales[place]}
    assert model.groups([{}])[0] == model.groups([{"mc_count": 2.0, "coverage": 0.5}])[0]
    assert len(set(model.groups(known).tolist())) == 2


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", '{"schema": "another"}', '{"schema": "microcalcification-groups-1"}'),
        '{"schema": "microcalcification-groups-1", "features": ["a"], "fill": [], "means": [0], "scales": [1],'
        ' "centres": [[0]], "names": []}',
    ],
)
def test_files_that_are_no_model_are_named(tmp_path, content):
    path = tmp_path / "groups.json"
    path.write_text(content)
    with pytest.raises(MammogramReadError, match=r"groups\.json: got .*; want"):
        load_groups(path)


def test_bad_models_and_too_few_clusters_are_named():
    with pytest.raises(ValueError, match=r"^k: got 5; want 1 to the number of clusters, 3"):
        fit_groups(records(3), 5)
    with pytest.raises(ValueError, match="scales"):
        GroupModel(("a",), (0.0,), (0.0,), (0.0,), ((0.0,),))


def test_clusters_of_images_with_several_labels_count_for_each():
    places, labels = duplicated([("linear",), ("grouped", "diffuse"), ("grouped",)])
    assert places.tolist() == [0, 1, 1, 2] and labels == ["linear", "grouped", "diffuse", "grouped"]
    groups = np.array([0, 1, 1])
    table = confusion(labels, groups[places], ["grouped", "linear", "diffuse"], range(3))
    assert table.tolist() == [[0, 2, 0], [1, 0, 0], [0, 1, 0]]
    assert group_names(table, ["grouped", "linear", "diffuse"]) == ("linear", "grouped", "")


def test_homogeneity_and_completeness_by_hand():
    assert agreement(["a", "a", "b", "b"], [0, 0, 1, 1]) == {"homogeneity": 1, "completeness": 1}
    assert agreement(["a", "a", "b", "b"], [0, 1, 2, 3]) == pytest.approx({"homogeneity": 1, "completeness": 0.5})
    assert agreement(["a", "a", "b", "b"], [0, 0, 0, 0])["homogeneity"] == pytest.approx(0)
    # 1 - H(label | group) / H(label): groups {a, a, b} and {b}
    conditional = 3 / 4 * -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert agreement(["a", "a", "b", "b"], [0, 0, 0, 1])["homogeneity"] == pytest.approx(1 - conditional / np.log(2))
