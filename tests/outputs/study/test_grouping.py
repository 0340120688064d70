"""Which images are of one study, and how they hang."""

from pathlib import Path

import pytest

from scripts.common.identity import Identity
from scripts.outputs.study.grouping import group_images, side_and_view
from scripts.outputs.study.results import Image


def image(image_id, uid="", side="", view="", status="found", **more):
    tags = {"study_uid": uid, "laterality": side, "view": view} if status != "failed" or uid else {}
    report = {"name": image_id} if status in ("found", "nothing found") else None
    return Image(image_id, Path(), status, report, identity=tags, **more)


def groups(*images, **options):
    return {
        (group.grouped_by, group.name): [placed.image.image_id for placed in group.images]
        for group in group_images(images, **options)
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("P07_L_CC", ("P07", "L", "CC")),
        ("P07-RMLO", ("P07", "R", "MLO")),
        ("Mass-Test_P_00038_LEFT_CC", ("Mass-Test_P_00038", "L", "CC")),
        ("lcc_P07_2019", ("P07_2019", "L", "CC")),
        ("R_ML.P3", ("P3", "R", "ML")),
        ("IMG0001", ("IMG0001", "", "")),
        ("ALCC_1", ("ALCC_1", "", "")),
        ("RCCX", ("RCCX", "", "")),
    ],
)
def test_side_and_view_of_names(name, told):
    assert side_and_view(name) == told


def test_the_study_uid_decides_wherever_files_lie():
    found = groups(image("a/L_CC", "1.2"), image("b/R_CC", "1.2"), image("a/R_CC", "1.3"))
    assert found == {("study UID", "1.2"): ["a/L_CC", "b/R_CC"], ("study UID", "1.3"): ["a/R_CC"]}


def test_files_without_tags_go_by_name_within_their_folder():
    images = [image(name) for name in ("a/P1_L_CC", "a/P1_R_CC", "a/P2_L_CC", "b/P1_L_CC", "scan")]
    assert groups(*images) == {
        ("name", "P1"): ["a/P1_L_CC", "a/P1_R_CC"],
        ("name", "P2"): ["a/P2_L_CC"],
        ("name", "P1~2"): ["b/P1_L_CC"],
        ("image", "scan"): ["scan"],
    }
    by_folder = groups(*images, files="folder")
    assert by_folder["folder", "a"] == ["a/P1_L_CC", "a/P1_R_CC", "a/P2_L_CC"]
    assert all(len(members) == 1 for members in groups(*images, files="image").values())


def test_a_failed_file_whose_tags_are_lost_stays_with_its_study():
    two = [image("a/P1_L_CC", "1.2"), image("a/P2_L_CC", "1.3")]
    by_name = groups(*two, image("a/P1_L_MLO", status="failed"))
    assert by_name["study UID", "1.2"] == ["a/P1_L_CC", "a/P1_L_MLO"]
    assert groups(two[0], image("a/IM4", status="failed")) == {("study UID", "1.2"): ["a/P1_L_CC", "a/IM4"]}
    assert ("image", "a_IM4") in groups(*two, image("a/IM4", status="failed"))  # of either study
    assert ("image", "b_IM4") in groups(two[0], image("b/IM4", status="failed"))
    assert groups(image("x"), image("y", status="failed")) == {("image", "x"): ["x"], ("image", "y"): ["y"]}


def test_identity_none_tells_of_no_two_images_that_they_belong_together():
    images = [image("image-1", side="L", view="CC", source=Path("Jane/P1_L_CC.png")), image("image-2")]
    images.append(image("image-3", status="failed", source=Path("Jane/P1_R_CC.png")))
    found = groups(*images, identity=Identity("none"))
    assert len(found) == 3 and not any("Jane" in name or "P1" in name for _, name in found)


def test_pseudonyms_name_studies_of_files(tmp_path):
    (tmp_path / "key").write_text("a secret of many letters")
    identity = Identity("pseudonym", str(tmp_path / "key"))
    images = [image(f"x{n}", source=Path(f"Jane/P1_{side}_CC.png")) for n, side in enumerate("LR")]
    ((kind, name),) = groups(*images, identity=identity)
    assert kind == "name" and len(name) == 16 and "P1" not in name


def test_names_of_folders_are_safe():
    names = [name for _, name in groups(image("../x"), image("a/..", "..\\../<b>"), image("ü" * 300), image("...", ""))]
    assert all("/" not in name and "<" not in name and not name.startswith(".") and len(name) <= 102 for name in names)
    assert len(names) == 4


def test_views_hang_in_rows_with_the_right_breast_left():
    sides = ("LMLO", "RCC", "LCC", "RMLO", "RML")
    (group,) = group_images([image(name, "1", name[0], name[1:]) for name in sides])
    rows = [[placed and placed.image.image_id for placed in row] for row in group.hanging()]
    assert rows == [["RCC", "LCC"], ["RMLO", "LMLO"], ["RML", None]]


def test_every_image_hangs_once_also_doubles_and_unknown_ones():
    images = [image(str(n), "1", side, "CC") for n, side in enumerate("LLLR")]
    images += [image("x", "1"), image("y", "1"), image("z", "1", "L", "odd"), image("w", "1")]
    (group,) = group_images(images)
    rows = [[placed and placed.image.image_id for placed in row] for row in group.hanging()]
    assert rows == [["3", "0"], [None, "1"], [None, "2"], [None, "z"], ["x", "y"], ["w", None]]
    assert sorted(placed.image.image_id for placed in group.in_order()) == sorted(one.image_id for one in images)


def test_side_and_view_of_tags_come_before_those_of_the_name():
    (group,) = group_images([image("P1_L_CC", "1", "R", "MLO")])
    assert group.images[0].label == "R MLO"
    (group,) = group_images([image("P1_L_CC", "1", "B"), image("x", "1", "<b>", "CC")])
    assert [placed.laterality for placed in group.in_order()] == ["L", ""]


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="group_files_by: got 'day'; want one of name, folder, image"):
        group_images([], "day")
