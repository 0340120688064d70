"""Sections of an evaluation's results: what evaluate.json lists. Leaving one out leaves it out of the results."""

from scripts.evaluation.sections.clusters import ClusterSection, FoundClusters
from scripts.evaluation.sections.failure_classes import FailureClassesSection
from scripts.evaluation.sections.froc import FrocSection
from scripts.evaluation.sections.kinds import KindSection
from scripts.evaluation.sections.operating_point import (
    AgreementSection,
    IouSection,
    ObjectFitSection,
    OperatingPointSection,
)
from scripts.evaluation.sections.probabilities import CalibrationSection, PixelSection
from scripts.evaluation.sections.sizes import LabelSizes, SizeSection
from scripts.evaluation.sections.strata import StrataSection

__all__ = [
    "AgreementSection",
    "CalibrationSection",
    "ClusterSection",
    "FailureClassesSection",
    "FoundClusters",
    "FrocSection",
    "IouSection",
    "KindSection",
    "LabelSizes",
    "ObjectFitSection",
    "OperatingPointSection",
    "PixelSection",
    "SizeSection",
    "StrataSection",
]
