"""Normal mammograms by patient: no patient in two sections, and numbered pictures where they always were."""

import logging

import pytest

from scripts.data.lists.backgrounds import FOLD, MOST_VIEWS, background_datalist
from tests.data.dicom_factory import mg_dataset, save


def folder_of(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no DICOM file, and read by nobody here")
    return root


def groups(datalist):
    """Patients -> their images, after a check that none stands in two sections."""
    members, homes = {}, {}
    for section, items in datalist.items():
        for item in items:
            members.setdefault(item["patient"], []).append(item["image_id"])
            homes.setdefault(item["patient"], set()).add(section)
    assert all(len(sections) == 1 for sections in homes.values())
    return members


def test_numbered_pictures_are_patients_of_their_own_and_silent(tmp_path, caplog):
    numbers = [1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 250]
    datalist = background_datalist(folder_of(tmp_path, *(f"IM{n:04d}.jpg" for n in numbers)))
    section_of = {0: "testing", 1: "validation"}
    for section, items in datalist.items():
        wanted = [f"IM{n:04d}" for n in numbers if section_of.get(n % FOLD, "training") == section]
        assert [item["image_id"] for item in items] == [item["patient"] for item in items] == wanted
        assert all(item["label"] == "" and item["annotation"] == "full" for item in items)
    assert not caplog.records


def test_names_without_a_number_go_by_their_place(tmp_path):
    datalist = background_datalist(folder_of(tmp_path, *(f"{letter}.png" for letter in "abcdefg")))
    assert [[item["image_id"] for item in items] for items in datalist.values()] == [
        ["c", "d", "e"],
        ["b", "g"],
        ["a", "f"],
    ]


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["P3_L_CC.png", "P3_R_CC.png", "P3_L_MLO_2.png", "P4_LEFT_MLO.png"], {"P3": 3, "P4": 1}),
        (["P3/LCC.png", "P3/RMLO.png", "P3/view-L-MLO-1.png", "P4/r_cc.png"], {"P3": 3, "P4": 1}),
        (["0012_1.png", "0012_2.png", "0013_1.png", "0013_2.png"], {"0012": 2, "0013": 2}),
        (["p7/1.png", "p7/2.png", "p8/1.png"], {"p7": 2, "p8": 1}),
        (["anna_L_CC.png", "anna_R_MLO.png", "berta/left.png", "berta/right.png"], {"anna": 2, "berta": 2}),
        (["12 left cc.png", "12 right mlo.png"], {"12": 2}),
        ([f"scans/ml_{x}.png" for x in "abcdefghi"], {f"scans/ml_{x}": 1 for x in "abcdefghi"}),
        (["P1_L_CM_MLO.jpg", "P1_R_DM_CC.jpg"], {"P1": 2}),
        (["CCL12.png", "MLOtest13.png", "cell_14.png"], {"CCL12": 1, "MLOtest13": 1, "cell_14": 1}),  # no views
        ([f"2020_{n}.png" for n in range(MOST_VIEWS + 1)], {f"2020_{n}": 1 for n in range(MOST_VIEWS + 1)}),
    ],
)
def test_views_of_one_patient_stay_together(tmp_path, caplog, names, patients):
    with caplog.at_level(logging.INFO):
        members = groups(background_datalist(folder_of(tmp_path, *names)))
    assert {patient: len(images) for patient, images in members.items()} == patients
    for patient, images in members.items():
        assert len(images) <= MOST_VIEWS and (len(images) > 1) == (f"patient {patient!r} stay together" in caplog.text)
    assert ("give patient_pattern" in caplog.text) == (max(patients.values()) > 1 or len(names) > MOST_VIEWS)


def test_a_pattern_names_the_patient(tmp_path):
    folder_of(tmp_path, "a/s1_IM1.png", "a/s2_IM2.png", "b/s1_IM3.png")
    assert groups(background_datalist(tmp_path, r"^([^/]+)/")) == {"a": ["a/s1_IM1", "a/s2_IM2"], "b": ["b/s1_IM3"]}
    assert set(groups(background_datalist(tmp_path, r"IM(\d+)\.png$"))) == {"1", "2", "3"}
    for pattern, message in ((r"IM\d", "0 groups; want one"), (r"(s2)", "s1_IM1.png; want one in each")):
        with pytest.raises(ValueError, match=f"patient_pattern: got .*{message}"):
            background_datalist(tmp_path, pattern)


def test_dicom_files_go_by_patient_id(tmp_path):
    for number, patient in enumerate(["A5", "A5", "B7", ""]):
        save(mg_dataset(PatientID=patient), tmp_path / f"x{number}.dcm")
    datalist = background_datalist(tmp_path)
    assert groups(datalist) == {"A5": ["x0", "x1"], "B7": ["x2"], "x3": ["x3"]}
    assert [item["image_id"] for item in datalist["testing"]] == ["x0", "x1"]


def test_without_validation(tmp_path):
    datalist = background_datalist(folder_of(tmp_path, *(f"IM{n}.png" for n in range(10))), with_validation=False)
    assert [len(items) for items in datalist.values()] == [8, 0, 2]
