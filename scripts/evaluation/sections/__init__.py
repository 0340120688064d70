"""Sections of an evaluation's results: what evaluate.json lists. Leaving one out leaves it out of the results."""

from scripts.evaluation.sections.agreement import AgreementSection
from scripts.evaluation.sections.calibration import CalibrationSection
from scripts.evaluation.sections.clusters import ClusterSection
from scripts.evaluation.sections.failure_classes import FailureClassesSection
from scripts.evaluation.sections.froc import FrocSection
from scripts.evaluation.sections.iou import IouSection
from scripts.evaluation.sections.operating_point import OperatingPointSection
from scripts.evaluation.sections.pixels import PixelSection
from scripts.evaluation.sections.sizes import LabelSizes, SizeSection
from scripts.evaluation.sections.strata import StrataSection

__all__ = [
    "AgreementSection",
    "CalibrationSection",
    "ClusterSection",
    "FailureClassesSection",
    "FrocSection",
    "IouSection",
    "LabelSizes",
    "OperatingPointSection",
    "PixelSection",
    "SizeSection",
    "StrataSection",
]
