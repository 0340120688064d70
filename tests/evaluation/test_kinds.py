"""The measurement of kinds: who owns a mark, and the command from end to end on a phantom."""

import json

import cv2
import numpy as np
import torch

from scripts.evaluation.__main__ import main
from scripts.evaluation.kinds import owners


def test_a_mark_belongs_to_the_object_that_it_covers_most_of():
    objects, labels = np.zeros((4, 10), np.int32), np.zeros((4, 10), np.int32)
    objects[:, :3], objects[:, 3:6] = 1, 2
    labels[0, 1:6], labels[2, 7:] = 1, 2  # two pixels on 1, three on 2; none
    np.testing.assert_array_equal(owners(labels, objects), [2, 0])


def test_the_command_writes_its_figures_twice_the_same(phantoms, tiny_weights, tmp_path, root, monkeypatch):
    folder, _ = phantoms
    monkeypatch.chdir(root)
    found = []
    for name in ("a.json", "b.json"):
        arguments = ["kinds", "--background-dir", str(folder / "images"), "--section", "training", "--images", "1"]
        arguments += ["--weights", str(tiny_weights / "model.pt"), "--output", str(tmp_path / name)]
        assert main(arguments) == 0
        found.append(json.loads((tmp_path / name).read_text()))
    assert found[0] == found[1]
    assert {"arteries typed vascular", "MCs excluded", "clips", "fp_per_cm2", "pauc"} <= set(found[0])


def test_a_third_map_types_marks_too(tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)
    rows, cols = np.indices((700, 500))
    image = 0.35 + np.random.default_rng(0).normal(0, 0.01, rows.shape)
    for row, col in ((250, 100), (300, 150), (350, 120), (400, 200)):  # bright spots of 0.4 mm
        image += 0.3 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * 2.0**2))
    (tmp_path / "images").mkdir()
    breast = np.hypot(rows - 350, cols) < 330
    cv2.imwrite(str(tmp_path / "images" / "IM0007.png"), np.uint8(255 * np.clip(image * breast, 0, 1)))
    state = torch.load(root / "models" / "model.pt", weights_only=True)
    results = {}
    for level in (-30.0, 30.0):  # no mark is in an artery, all are
        third = dict(state)
        for part in ("weight", "bias"):
            name = f"segmentation_head.0.{part}"
            third[name] = torch.cat([state[name][:2], torch.zeros_like(state[name][:1])])
        third["segmentation_head.0.bias"][2] = level
        torch.save(third, tmp_path / "three.pt")
        arguments = ["kinds", "--background-dir", str(tmp_path / "images"), "--section", "training", "--images", "1"]
        arguments += ["--weights", str(tmp_path / "three.pt"), "--maps", "3", "--output", str(tmp_path / "c.json")]
        assert main(arguments) == 0
        results[level] = json.loads((tmp_path / "c.json").read_text())
    marks = sum(sum(found.values()) for found in results[30.0]["kinds"].values())
    assert marks
    for level, share in ((-30.0, 0), (30.0, 1)):
        by_map = results[level]["by map"]
        assert sum(group["marks"] for group in by_map.values()) == marks
        assert sum(group["vascular by map"] for group in by_map.values()) == share * marks
