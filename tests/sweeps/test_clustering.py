"""The search for clusters on phantoms and on results of inference, by the shipped configs."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
from monai.bundle import ConfigParser

from scripts.common.objects import measure_objects
from scripts.data.reader.errors import MammogramReadError
from scripts.findings.cluster_findings import ClusterAnalysis
from scripts.findings.features import CLUSTER_FEATURES, MCFeatures
from scripts.findings.features.microcalcifications import records_of
from scripts.findings.groups import load_groups
from scripts.simulation.phantom.distributions import KINDS, draw_on_plain, sample_distribution
from scripts.sweeps.clustering import HomogeneityObjective
from scripts.sweeps.clustering_cases import DistributionPhantoms, InferredImages, read_labels
from scripts.sweeps.sweep import SkipTrialError

FILES = ("best.json", "groups.json", "confusion.md", "confusion_groups.csv", "confusion_distributions.csv")
FILES += ("clusters.csv", "clusters.png")
SMALL = {"source::count": 5, "source::shape": [1300, 1000], "sweep::trials": 3, "sweep::progress": False}
SMALL |= {"objective::k": 3}


def search(root, folder, *overlays, **options):
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / name) for name in ("clustering.json", *overlays)])
    parser.update({"output_dir": str(folder), **options})
    return parser.get_parsed_content("clustering")[0]


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_search_on_phantoms_is_twice_the_same(root, tmp_path):
    rows = search(root, tmp_path / "first", **SMALL)
    search(root, tmp_path / "second", **SMALL)
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    best = json.loads((tmp_path / "first" / "best.json").read_text())
    assert {row.value for row in rows if row.feasible} and set(best) > {"objective::optics::min_samples"}
    clusters, model = read(tmp_path / "first" / "clusters.csv"), load_groups(tmp_path / "first" / "groups.json")
    records = [{name: float(row[name]) if row[name] else None for name in CLUSTER_FEATURES} for row in clusters]
    assert model.groups(records).tolist() == [int(row["group"]) for row in clusters]
    pairs = sum(len(row["labels"].split("|")) for row in clusters)
    for name in ("groups", "distributions"):
        table = read(tmp_path / "first" / f"confusion_{name}.csv")
        assert sum(int(value) for row in table for key, value in row.items() if key != "label") == pairs
    text = (tmp_path / "first" / "confusion.md").read_text()
    assert "Simulated data" in text and "homogeneity" in text and "| grouped |" in text


def test_phantoms_follow_from_the_seed_and_show_all_distributions():
    source = DistributionPhantoms(5, seed=1, shape=(1300, 1000))
    first, second = source.images(), source.images()
    assert [image.labels[0] for image in first] == list(KINDS)
    assert [image.mcs for image in first] == [image.mcs for image in second]
    assert DistributionPhantoms(1, seed=2, shape=(1300, 1000)).images()[0].mcs != first[0].mcs
    for image in first:
        contrast = image.features["contrast"]
        assert len(image.mcs) >= 5 and contrast.size == len(image.mcs) and np.nanmedian(contrast) > 0.02


def test_settings_that_find_few_clusters_are_no_result():
    objective = HomogeneityObjective(DistributionPhantoms(3, shape=(1300, 1000)), k=2)
    objective.prepare()
    for parameters, word in (
        ({"optics::max_distance_mm": 2.0}, "distance_mm"),
        ({"optics::least": 500}, "want at least 2"),
    ):
        with pytest.raises(SkipTrialError, match=word):
            objective(parameters, print)
    with pytest.raises(ValueError, match=r"^space: got 'optics::nothing'"):
        objective({"optics::nothing": 1}, print)
    outcome = objective({"optics::method": "dbscan", "optics::distance_mm": 5.0}, print)
    assert outcome.constraints["images"] == pytest.approx(0.9 - outcome.values["images_with_cluster"] / 3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Made-up results of inference for six images named as INbreast's, and a table of labels."""
    folder = tmp_path_factory.mktemp("results")
    for number in range(6):
        kind = ("grouped", "linear")[number % 2]
        spec = sample_distribution(np.random.default_rng(number), [kind], (1300, 1000))
        image, labels = draw_on_plain(spec)
        spacing = (spec.spacing_mm,) * 2
        mcs = measure_objects(labels, np.ones(labels.max() + 1), spacing)
        features = records_of(MCFeatures().measure(labels, image, spacing))
        entries = [asdict(mc) | {"features": one} for mc, one in zip(mcs, features, strict=True)]
        entries[0]["kind"] = "metal"
        content = {"microcalcifications": entries, "spacing_mm": list(spacing), "breast_area_cm2": 60.0}
        path = folder / f"2058{number}_abc_MG_R_CC_ANON" / "findings.json"
        path.parent.mkdir()
        path.write_text(json.dumps(content))
    rows = [f"2058{number},{('grouped', 'linear|segmental')[number % 2]}" for number in range(5)]
    (folder / "labels.csv").write_text("\n".join(["image_id,labels", *rows, "20585,", "999,diffuse"]) + "\n")
    return folder


def test_results_of_inference_are_read_with_their_labels(results):
    images = InferredImages(str(results), str(results / "labels.csv")).images()
    assert [image.labels for image in images] == [("grouped",), ("linear", "segmental")] * 2 + [("grouped",)]
    everything = InferredImages(str(results), str(results / "labels.csv"), exclude_kinds=()).images()
    assert [len(image.mcs) for image in images] == [len(image.mcs) - 1 for image in everything]  # without the metal
    found = ClusterAnalysis().analyse(*images[0][2:])
    assert found and all(value is not None for value in found[0].features.values())


def test_the_search_on_results_of_inference(root, results, tmp_path):
    places = {"findings_dir": str(results), "labels_file": str(results / "labels.csv")}
    options = {key: value for key, value in SMALL.items() if not key.startswith("source")} | places
    search(root, tmp_path, "clustering_findings.json", **(options | {"objective::k": 2, "data_note": "made up"}))
    rows = read(tmp_path / "clusters.csv")
    assert {row["image_id"] for row in rows} <= {f"2058{number}_abc_MG_R_CC_ANON" for number in range(5)}
    table = {row["label"]: row for row in read(tmp_path / "confusion_groups.csv")}
    assert table["linear"] | {"label": ""} == table["segmental"] | {"label": ""}  # the same clusters, counted twice


@pytest.mark.parametrize(
    ("text", "word"), [("image,labels\n1,a\n", "image_id"), ("image_id,labels\n1,a\n1,b\n", "line 3"), ("", "columns")]
)
def test_bad_tables_of_labels_are_named(tmp_path, text, word):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(MammogramReadError, match=word):
        read_labels(path)


def test_results_without_labels_and_broken_ones_are_named(results, tmp_path):
    (tmp_path / "labels.csv").write_text("image_id,labels\nnobody,grouped\n")
    with pytest.raises(MammogramReadError, match=r"no findings\.json"):
        InferredImages(str(results), str(tmp_path / "labels.csv")).images()
    (tmp_path / "nobody").mkdir()
    (tmp_path / "nobody" / "findings.json").write_text('{"microcalcifications": [{"id": 1}], "spacing_mm": [1, 1]}')
    with pytest.raises(MammogramReadError, match=r"findings\.json"):
        InferredImages(str(tmp_path), str(tmp_path / "labels.csv")).images()


@pytest.mark.slow
def test_inference_runs_first_where_mammograms_are_given(root, phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    folder, datalist = phantoms
    names = [item["image_id"] for part in datalist.values() for item in part]
    (tmp_path / "labels.csv").write_text("\n".join(["image_id,labels", *(f"{name},grouped" for name in names)]) + "\n")
    source = InferredImages(str(tmp_path / "found"), str(tmp_path / "labels.csv"), str(folder / "images"))
    images = source.images()
    assert {image.image_id for image in images} <= set(names) and sum(len(image.mcs) for image in images) > 0
    log = (tmp_path / "found" / "inference.log").read_text()
    assert [image.mcs for image in source.images()] == [image.mcs for image in images]
    assert (tmp_path / "found" / "inference.log").read_text() == log  # not run again
