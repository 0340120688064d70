"""The papers' own settings: every choice of `docs/paper.md`, whatever the bundle's defaults become."""

import pytest
from monai.bundle import ConfigParser

from scripts.candidates.hdog import HDoGParameters
from scripts.findings.combining import CandidateObjects
from scripts.findings.components import ComponentObjects

HDOGREG = ["train.json", "data_inbreast.json", "hdogreg_paper_train.json"]
SLIM_FCN = ["train.json", "data_inbreast.json", "slim_fcn_train.json", "slim_fcn_paper_train.json"]
BOTH = {
    "precision": "float32",
    "reading::voi": "none",
    "working_grid::spacing_mm": 0.0,
    "batch_size": 8,
    "warp::crop_px": 320,
}
BOTH |= {"patches::patch_px": 512, "patches::stride_px": 480, "patches::negatives_per_positive": 0.0}
CHOICES = {
    "HDoGReg": (HDOGREG, BOTH)
    + (
        {
            "max_epochs": 40,
            "publish_epoch": "best",
            "warp::scale_range": 0.5,
            "warp::shift_range": 0.1,
            "warp::rotation_deg": 0.0,
            "target::radius_px": 10.0,
            "target::alpha": 1.0,
            "target::maps": 1,
            "network_def::encoder": "inception_v4",
            "network_def::encoder_weights": "imagenet",
            "network_def::pyramid_channels": 256,
            "network_def::segmentation_channels": 128,
            "network_def::dropout": 0.2,
            "network_def::detail_channels": 0,
            "network_def::align_corners": True,
            "loss::bce_weight": 0.0,
            "optimizer::_target_": "torch.optim.Adam",
            "optimizer::lr": 0.0001,
            "scheduler::factor": 1.0,
            "source::validation_fraction": 0.1977,
            "source::test_fraction": 0.2093,
        },
    ),
    "slim FCN": (SLIM_FCN, BOTH)
    + (
        {
            "max_epochs": 1000,
            "publish_epoch": "last",
            "warp::scale_range": 0.0,
            "warp::shift_range": 0.0,
            "warp::rotation_deg": 35.0,
            "grey_values::_target_": "Identity",
            "loss::ratio": 3.0,
            "optimizer::_target_": "torch.optim.SGD",
            "optimizer::lr": 0.001,
            "optimizer::momentum": 0.9,
            "scheduler::factor": 1.0,
            "source::validation_fraction": 0.0,
            "source::test_fraction": 0.25,
        },
    ),
}


def configured(root, names):
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / name) for name in names])
    return parser


@pytest.mark.parametrize("method", CHOICES)
def test_training_is_the_papers(root, method):
    names, *choices = CHOICES[method]
    parser = configured(root, names)
    assert parser["augmentation"][0] == {
        "_target_": "RandFlipd", "keys": ["image", "label"], "prob": 0.5, "spatial_axis": 1
    }  # fmt: skip
    for choice in choices:
        for key, value in choice.items():
            assert parser[key] == value, key


def test_optimizers_defaults_are_those_that_the_paper_states(root):
    """Adam's betas and eps are left to PyTorch, the Dice weight and its smoothing to the loss."""
    parser = configured(root, HDOGREG)
    parser.update({"network": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}})
    optimizer, loss = (parser.get_parsed_content(key) for key in ("optimizer", "loss"))
    assert optimizer.defaults["betas"] == (0.9, 0.999) and optimizer.defaults["eps"] == 1e-8
    assert loss.dice_weight == 1 and (loss.dice.smooth_nr, loss.dice.smooth_dr, loss.dice.batch) == (1, 1, True)


@pytest.mark.parametrize("method", ["hdogreg", "slim_fcn"])
def test_inference_is_the_papers(root, method):
    parser = configured(root, ["inference.json", f"{method}_paper_inference.json"])
    for key, value in {"precision": "float32", "reading::voi": "none", "working_grid::spacing_mm": 0.0}.items():
        assert parser[key] == value, key
    objects = parser.get_parsed_content("objects")
    if method == "slim_fcn":
        assert isinstance(objects, ComponentObjects) and parser["tiles::margin_px"] == 22
        return
    hdog = HDoGParameters(1.18, 3.1, 1.6, dog_threshold=0.006, blob_overlap=1, hessian_threshold=1.4)
    assert objects == CandidateObjects(0, objects.hdog, 0.3) and objects.hdog.sigmas.tolist() == hdog.sigmas.tolist()
    assert (objects.hdog.dog_threshold, objects.hdog.hessian_threshold, objects.hdog.blob_overlap) == (0.006, 1.4, 1)
    assert (parser["tiles::tile_px"], parser["tiles::margin_px"], parser["tiles::crop"]) == (512, 128, False)
    assert parser["score_threshold"] == pytest.approx(10**-3.5, rel=1e-4) and parser["breast::erosion_px"] == 45
