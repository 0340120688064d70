"""Registration of two exams: rigid, then affine, then B-spline, by elastix (Klein et al., IEEE TMI 29:196, 2010).

ITK is large and only needed here: `pip install -r requirements-follow-up.txt`, or `make follow-up`.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.checks import check_fields
from scripts.common.deformation import Deformation
from scripts.common.tensors import Spacing
from scripts.findings.follow_up.exams import Exam, reduced

MISSING = "itk-elastix: got no such package; want it installed: pip install -r requirements-follow-up.txt"
STAGES = ("rigid", "affine", "bspline")


class RegistrationError(RuntimeError):
    """A registration that ended without a result."""


class Registration(Protocol):
    """Brings two exams together."""

    @property
    def spacing_mm(self) -> float:
        """Pixel size at which it works."""

    def register(self, prior: Exam, current: Exam) -> Deformation:
        """Maps points (mm) of the prior exam to those of the current one; a RegistrationError where it fails."""


@dataclass(frozen=True)
class ElastixRegistration:
    """Mutual information of the grey values in and around the breast, so that the skin line counts, coarse to fine."""

    spacing_mm: float = 0.5  # pixel size that the exams are reduced to
    grid_mm: float = 16.0  # spacing of the B-spline's control points
    bending_weight: float = 5.0  # of the bending energy beside the mutual information
    resolutions: int = 4  # levels of the pyramid
    iterations: int = 150  # of each level of each stage
    samples: int = 3000  # pixels drawn for each iteration
    margin_mm: float = 4.0  # around the breast
    threads: int = 1  # results are those of one thread whatever this is, up to rounding

    def __post_init__(self) -> None:
        check_fields(self)
        positive = dict.fromkeys(("spacing_mm", "grid_mm"), "(0, inf)")
        check_fields(self, **positive, **dict.fromkeys(("resolutions", "iterations", "samples", "threads"), "[1, inf)"))

    def register(self, prior: Exam, current: Exam) -> Deformation:
        """See `Registration`; ValueError where ITK is not installed."""
        itk = _itk()
        images, masks = [], []
        for exam in (prior, current):
            if not exam.breast.any():
                raise RegistrationError(f"{exam.name}: got no breast; want one")
            small = reduced(exam, self.spacing_mm)
            offset = [(new - old) / 2 for new, old in zip(small.spacing_mm, exam.spacing_mm, strict=True)]
            images.append(_image(itk, small.image.astype(np.float32), small.spacing_mm, offset))
            masks.append(_image(itk, self._around(small.breast), small.spacing_mm, offset))
        chain = itk.ParameterObject.New()
        for stage in STAGES:
            chain.AddParameterMap(self._parameters(chain, stage))
        options = {"fixed_mask": masks[0], "moving_mask": masks[1], "parameter_object": chain}
        options |= {"log_to_console": False, "number_of_threads": self.threads}
        try:
            _, found = itk.elastix_registration_method(*images, **options)
            with TemporaryDirectory() as folder:  # transformix also writes the field as a file
                field = itk.transformix_deformation_field(images[1], found, output_directory=folder)
                displacement = itk.array_from_image(field)
        except RuntimeError as error:
            raise RegistrationError(f"elastix: {str(error).strip().splitlines()[-1]}") from error
        (col_mm, row_mm), (col_start, row_start) = images[0].GetSpacing(), images[0].GetOrigin()
        to_first_pixel = (row_start / row_mm, col_start / col_mm)  # of the exam, from that of the reduced image
        parts = [ndimage.shift(displacement[..., axis], to_first_pixel, order=1, mode="nearest") for axis in (1, 0)]
        return Deformation(np.stack(parts), (row_mm, col_mm))

    def _around(self, breast: np.ndarray) -> np.ndarray:
        side = 2 * round(self.margin_mm / self.spacing_mm) + 1
        return cv2.dilate(breast.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))

    def _parameters(self, chain: Any, stage: str) -> Any:
        made = chain.GetDefaultParameterMap(stage, self.resolutions)
        chosen: dict[str, list[Any]] = {
            "AutomaticTransformInitialization": ["true" if stage == "rigid" else "false"],
            "AutomaticTransformInitializationMethod": ["CenterOfGravity"],
            "MaximumNumberOfIterations": [self.iterations],
            "NumberOfSpatialSamples": [self.samples],
            "RandomSeed": [1],
            "Metric": ["AdvancedMattesMutualInformation"],
        }
        if stage == "bspline":
            chosen |= {
                "Registration": ["MultiMetricMultiResolutionRegistration"],
                "Metric": ["AdvancedMattesMutualInformation", "TransformBendingEnergyPenalty"],
                "Metric0Weight": [1],
                "Metric1Weight": [self.bending_weight],
                "FinalGridSpacingInPhysicalUnits": [self.grid_mm],
            }
        for name, values in chosen.items():
            made[name] = [str(value) for value in values]
        return made


def _image(itk: Any, array: np.ndarray, spacing_mm: Spacing, origin_mm: Sequence[float]) -> Any:
    """An ITK image, whose axes are (x, y)."""
    image = itk.image_from_array(np.ascontiguousarray(array))
    image.SetSpacing([float(mm) for mm in reversed(spacing_mm)])
    image.SetOrigin([float(mm) for mm in reversed(origin_mm)])
    return image


def _itk() -> Any:
    try:
        itk = importlib.import_module("itk")
        itk.ElastixRegistrationMethod  # noqa: B018  (the modules of ITK load when first touched)
    except (ImportError, AttributeError) as error:
        raise ValueError(MISSING) from error
    return itk
