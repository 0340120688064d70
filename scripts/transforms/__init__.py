"""The thin MONAI classes that the configs name; the maths is in the stages before."""

from scripts.transforms.baselines import DiscObjectsd, HDoGObjectsd, MorphologyObjectsd, SelectMapd
from scripts.transforms.inference import (
    BreastMaskd,
    CombineCandidatesd,
    HDoGCandidatesd,
    LoadLabeld,
    LoadMammogramd,
    MeasureFindingsd,
    RestoreFileGeometryd,
    ThresholdObjectsd,
)
from scripts.transforms.training import (
    DropIgnoredd,
    ProximityTargetd,
    RandBrightnessd,
    RandCLAHEd,
    RandGammad,
    RandWarpPatchd,
    WorkingGridd,
)

__all__ = [
    "BreastMaskd",
    "CombineCandidatesd",
    "DiscObjectsd",
    "DropIgnoredd",
    "HDoGCandidatesd",
    "HDoGObjectsd",
    "LoadLabeld",
    "LoadMammogramd",
    "MeasureFindingsd",
    "MorphologyObjectsd",
    "ProximityTargetd",
    "RandBrightnessd",
    "RandCLAHEd",
    "RandGammad",
    "RandWarpPatchd",
    "RestoreFileGeometryd",
    "SelectMapd",
    "ThresholdObjectsd",
    "WorkingGridd",
]
