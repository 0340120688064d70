"""The thin MONAI classes that the configs name; the maths is in the stages before."""

from scripts.transforms.findings import AnalyseEveryObjectd, FormObjectsd, MeasureFindingsd, RestoreFileGeometryd
from scripts.transforms.loading import BreastMaskd, LoadLabeld, LoadMammogramd, MammogramReader
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
    "AnalyseEveryObjectd",
    "BreastMaskd",
    "DropIgnoredd",
    "FormObjectsd",
    "LoadLabeld",
    "LoadMammogramd",
    "MammogramReader",
    "MeasureFindingsd",
    "ProximityTargetd",
    "RandBrightnessd",
    "RandCLAHEd",
    "RandGammad",
    "RandWarpPatchd",
    "RestoreFileGeometryd",
    "WorkingGridd",
]
