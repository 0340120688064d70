import json
import logging
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image

from scripts.data.labels.annotations import load_label
from scripts.data.lists.generic import generic_datalist
from scripts.data.reader.errors import MammogramReadError
from scripts.data.splits import folded_datalist

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def folder(tmp_path):
    """Twelve images a0..a11 in images/, masks of the even ones in labels/, one points file."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(12):
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "images" / f"a{number}.png")
        Image.fromarray(np.eye(4, 6, dtype=np.uint8)).save(tmp_path / "labels" / f"a{number}.png")
    (tmp_path / "labels" / "points.csv").write_text("row,col\n1,2\n")
    return tmp_path


def write_json(folder, **parts):
    (folder / "list.json").write_text(json.dumps(parts))
    return folder / "list.json"


def write_csv(folder, text):
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


def entry(number, **extra):
    return {"image": f"images/a{number}.png", "label": f"labels/a{number}.png"} | extra


def names(datalist):
    return {part: [item["image_id"] for item in items] for part, items in datalist.items()}


def test_json_parts_are_kept_and_items_complete(folder):
    file = write_json(
        folder,
        name="decathlon keys are ignored",
        training=[
            entry(0, patient="p", laterality="left", view="mlo", density="fatty", age=50),
            entry(1, label="", image_id="mine"),
        ],
        validation=[entry(2, label="labels/points.csv")],
        test=[entry(3, label=["labels/a3.png", "labels/a4.png"], annotation="clusters_only"), entry(5, label=None)],
    )
    datalist = generic_datalist(file)
    assert names(datalist) == {
        "training": ["images_a0", "mine"],
        "validation": ["images_a2"],
        "testing": ["images_a3", "images_a5"],
    }
    assert datalist["training"][0] == {
        "image": str(folder / "images" / "a0.png"),
        "label": str(folder / "labels" / "a0.png"),
        "patient": "p",
        "image_id": "images_a0",
        "laterality": "L",
        "view": "MLO",
        "annotation": "full",
        "density": "fatty",  # further texts are kept, other values not
    }
    assert datalist["training"][1]["label"] == "" and datalist["training"][1]["annotation"] == "none"
    item = datalist["testing"][0]
    assert (load_label(item["label"], (4, 6), (1, 1), item["annotation"]) == np.eye(4, 6) * 2).all()
    assert load_label(datalist["validation"][0]["label"], (4, 6), (1, 1))[1, 2] == 1


def test_csv_with_split_column(folder):
    text = "\ufeffImage, Label, Split, Patient\n" + "".join(
        f"images/a{n}.png,labels/a{n}.png,{split},p{n}\n"
        for n, split in enumerate(["train", "VAL", "test", "", "testing"])
    )
    assert names(generic_datalist(write_csv(folder, text))) == {
        "training": ["images_a0", "images_a3"],
        "validation": ["images_a1"],
        "testing": ["images_a2", "images_a4"],
    }


def test_csv_without_split_is_split_by_patient(folder, caplog):
    text = "image,label,patient\n" + "".join(f"images/a{n}.png,labels/a{n}.png,p{n // 2}\n" for n in range(12))
    with caplog.at_level(logging.WARNING):
        datalist = generic_datalist(write_csv(folder, text), validation_fraction=1 / 6, test_fraction=1 / 3, seed=5)
    patients = [{item["patient"] for item in items} for items in datalist.values()]
    assert [len(group) for group in patients] == [3, 1, 2] and len(set.union(*patients)) == 6
    assert not caplog.records
    folds = [folded_datalist(generic_datalist(folder / "list.csv"), 3, fold)["testing"] for fold in range(3)]
    assert sorted(item["image_id"] for fold in folds for item in fold) == sorted(f"images_a{n}" for n in range(12))


def test_missing_patients_are_reported_when_a_split_is_made(folder, caplog):
    with caplog.at_level(logging.WARNING):
        generic_datalist(write_json(folder, training=[entry(n) for n in range(10)], validation=[entry(10)]))
        assert not caplog.records
        generic_datalist(write_json(folder, training=[entry(n) for n in range(10)]))
    assert "10 images without 'patient'" in caplog.text


def test_given_testing_part_is_kept_and_validation_split_off(folder):
    datalist = generic_datalist(
        write_json(folder, training=[entry(n) for n in range(10)], testing=[entry(11)]), validation_fraction=0.3
    )
    assert [len(items) for items in datalist.values()] == [7, 3, 1]


def test_no_validation_section(folder):
    """The slim FCN's paper splits 75 / 25: by a fraction of 0, or by an empty section in the file."""
    training = [entry(n, patient=f"p{n}") for n in range(8)]
    for given, options, wanted in (
        ({}, {"validation_fraction": 0, "test_fraction": 0.25}, [6, 0, 2]),
        ({"testing": [entry(11)]}, {"validation_fraction": 0}, [8, 0, 1]),
        ({"validation": [], "testing": [entry(11)]}, {}, [8, 0, 1]),
    ):
        datalist = generic_datalist(write_json(folder, training=training, **given), **options)
        assert [len(datalist[section]) for section in ("training", "validation", "testing")] == wanted


def test_dataset_dir_starts_relative_paths_and_absolute_ones_may_lie_anywhere(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "mask.png"
    Image.fromarray(np.ones((4, 6), np.uint8)).save(elsewhere)
    (folder / "lists").mkdir()
    file = write_json(folder / "lists", training=[entry(0, label=str(elsewhere))])
    items = generic_datalist("lists/list.json", dataset_dir=folder)["training"]
    assert items[0]["label"] == str(elsewhere) and items[0]["image_id"] == "images_a0"
    with pytest.raises(MammogramReadError, match="no file"):
        generic_datalist(file)
    write_json(folder / "lists", training=[entry(0, image="../images/a0.png")])
    with pytest.raises(MammogramReadError, match=r"training\[0\], image = '\.\./images/a0\.png', outside"):
        generic_datalist(file)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"training": [entry(99)]}, r"list\.json: got training\[0\], image = 'images/a99\.png', but no file"),
        ({"training": [entry(0, label="labels/b.png")]}, r"training\[0\], label = 'labels/b\.png', but no file"),
        (
            {"training": [{"image": "images/a0.png"}]},
            r"training\[0\] with the keys \['image'\]; want 'image' and 'label'",
        ),
        ({"training": [{"label": ""}]}, r"training\[0\] with the keys"),
        ({"training": [entry(0, label=3)]}, r"training\[0\], label = 3"),
        ({"training": [entry(0), entry(1), entry(0)]}, r"a0\.png in training\[0\] and again in training\[2\]"),
        ({"training": [entry(0)], "test": [entry(0)]}, r"in training\[0\] and again in test\[0\]"),
        ({"training": [entry(0, image_id="i"), entry(1, image_id="i")]}, "image_id i in"),
        ({"training": [entry(0, patient="p")], "test": [entry(1, patient="p")]}, r"patient p in training .*testing"),
        ({"training": [entry(0, annotation="partial")]}, "annotation 'partial'"),
        ({"training": [entry(0, label="", annotation="full")]}, "'full' and 0 labels"),
        ({"training": [entry(0, annotation="none")]}, "'none' and 1 labels"),
        ({"training": ["images/a0.png"]}, "'training' with other content"),
        ({"training": []}, "no items"),
        ({"images": [entry(0)]}, "no items"),
    ],
)
def test_bad_json_lists(folder, parts, message):
    with pytest.raises(MammogramReadError, match=message):
        generic_datalist(write_json(folder, **parts))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label\nimages/a0.png,labels/a0.png\nimages/a77.png,\n",
            r"list\.csv: got line 3, image = 'images/a77\.png'",
        ),
        ("image,label,split\nimages/a0.png,,holdout\n", "line 2 with the split 'holdout'"),
        ("image\nimages/a0.png\n", r"line 2 with the keys \['image'\]"),
        ("image,label\nimages/a0.png,,extra\n", "line 2 with more cells"),
        ("image,label\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_bad_csv_lists(folder, text, message):
    with pytest.raises(MammogramReadError, match=message):
        generic_datalist(write_csv(folder, text))


def test_unreadable_lists(folder):
    (folder / "list.json").write_text("{")
    for name, message in (("list.json", "unreadable"), ("gone.csv", "unreadable"), ("a.yaml", r"type '\.yaml'")):
        with pytest.raises(MammogramReadError, match=message):
            generic_datalist(folder / name)


def test_overlay(folder):
    write_csv(folder, "image,label\n" + "".join(f"images/a{n}.png,labels/a{n}.png\n" for n in range(10)))
    parser = ConfigParser(ConfigParser.load_config_file(CONFIGS / "data_generic.json"))
    parser["dataset_dir"], parser["source::datalist_file"] = str(folder), "list.csv"
    assert [len(items) for items in parser.get_parsed_content("source").values()] == [6, 2, 2]
