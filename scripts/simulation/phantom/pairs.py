"""Two exams of one phantom breast with a known change between them.

The current exam shows the prior one's tissue under another compression, turned, shifted and locally displaced, with
other quanta and another window. Calcifications do not stretch: they move with the tissue, each a little on its own (it
lies at another height in the breast), turn with it, and some are gone, grown or new.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.checks import check, check_fields
from scripts.common.deformation import Deformation
from scripts.common.files import write_json
from scripts.simulation.parameters import Parameters, Range, Rng, log_between, uniform
from scripts.simulation.phantom.calcifications import sample_near
from scripts.simulation.phantom.dicom import write_phantom_dicom
from scripts.simulation.phantom.outline import BreastMaps
from scripts.simulation.phantom.parameters import McSpec, PhantomSettings, PhantomSpec
from scripts.simulation.phantom.rendering import Phantom, render
from scripts.simulation.phantom.sampling import sample_spec

FIELD_MM = 2.0  # grid of the displacement
STATES = ("same", "grown", "gone", "new")


@dataclass(frozen=True)
class PairSettings(Parameters):
    """What the current exam is drawn from."""

    thickness_range: Range = (0.9, 1.1)  # its compressed thickness over the prior one's; the area changes inversely
    turn_range_deg: Range = (-4.0, 4.0)
    shear_sd: float = 0.01
    shift_range_mm: Range = (-6.0, 6.0)  # of rows
    hidden_range_mm: Range = (0.0, 5.0)  # tissue at the chest wall that is not in view any more
    local_sd: float = 1.2  # displacement of the tissue beyond that, mm along each axis
    local_mm: float = 20.0  # sigma over which neighbours are displaced alike
    height_sd: float = 0.25  # displacement of each MC on its own, mm along each axis
    gone_share: float = 0.1  # of the prior exam's MCs
    grown_share: float = 0.12
    growth_range: Range = (1.4, 1.7)  # of the diameter
    new_share: float = 0.2  # of the prior number; around old MCs
    prior_exam: PhantomSettings = field(default_factory=PhantomSettings)  # of the prior exam
    intervals: ClassVar[Mapping[str, str]] = {"turn_range_deg": "(-inf, inf)", "shift_range_mm": "(-inf, inf)"}


@dataclass(frozen=True)
class CurrentExam:
    """What `render` needs to show a phantom a second time."""

    to_prior: Deformation  # where the tissue at a point lay in the prior exam; canonical frame
    thickness: float  # compressed thickness over the prior one's
    spec: PhantomSpec  # of the current exam

    def apply(self, breast: BreastMaps, attenuation: np.ndarray) -> tuple[PhantomSpec, BreastMaps, np.ndarray]:
        """Specification, maps and line integrals of the current exam from those of the prior one."""
        spacing, shape, border = (self.spec.spacing_mm,) * 2, self.spec.shape, cv2.BORDER_REFLECT_101
        pulled = [self.to_prior.pull(part, spacing, shape, spacing, border) for part in (*breast, attenuation)]
        depth, *others, shown = pulled
        maps = BreastMaps(depth, *(part * np.float32(self.thickness) for part in others))
        return self.spec, maps, shown * np.float32(self.thickness)


@dataclass(frozen=True)
class PhantomPair:
    """Both exams' specifications, and what became of each MC."""

    prior: PhantomSpec
    current: CurrentExam
    prior_numbers: tuple[int, ...]  # of the prior spec's MCs, in their order; an MC keeps its number
    current_numbers: tuple[int, ...]
    states: dict[int, str]  # number -> one of `STATES`

    def render(self) -> tuple[Phantom, Phantom]:
        """Both pictures."""
        return render(self.prior), render(self.prior, self.current)


def sample_pair(rng: Rng, settings: PairSettings | None = None, **options: Any) -> PhantomPair:
    """Draw a pair of exams; options as for `sample_spec`."""
    settings = settings or PairSettings()
    prior = sample_spec(rng, settings=settings.prior_exam, **options)
    thickness, turn = uniform(rng, settings.thickness_range), math.radians(uniform(rng, settings.turn_range_deg))
    to_prior = _deformation(rng, prior, thickness, turn, settings)
    states = dict(enumerate(rng.choice(STATES[:3], len(prior.mcs), p=_shares(settings)).tolist(), start=1))
    mcs, numbers = [], []
    for number, mc in enumerate(prior.mcs, start=1):
        if states[number] != "gone":
            factor = uniform(rng, settings.growth_range) if states[number] == "grown" else 1.0
            mcs.append(_moved(rng, mc, to_prior, turn, factor, settings.height_sd))
            numbers.append(number)
    fresh = sample_near(rng, mcs, int(rng.poisson(settings.new_share * len(prior.mcs))), settings.prior_exam.mcs)
    states |= {len(prior.mcs) + 1 + n: "new" for n in range(len(fresh))}
    numbers += [number for number, state in states.items() if state == "new"]
    imaging = settings.prior_exam.imaging
    detector = replace(prior.detector, quanta=log_between(rng, imaging.quanta_range))
    window, fat_level = uniform(rng, imaging.window_range), uniform(rng, imaging.fat_level_range)
    current = replace(
        prior,
        thickness_mm=prior.thickness_mm * thickness,
        detector=detector,
        presentation=replace(prior.presentation, window=window, fat_level=fat_level),
        mcs=(*mcs, *fresh),
        seed=int(rng.integers(1, 2**62)),
    )
    exam = CurrentExam(to_prior, thickness, current)
    return PhantomPair(prior, exam, tuple(range(1, len(prior.mcs) + 1)), tuple(numbers), states)


@dataclass(frozen=True)
class PhantomPairFiles:
    """A pair as files: `prior.dcm`, `current.dcm` and `change.json`, the number of MCs of each of `STATES`."""

    dataset_dir: str
    seed: int = 0
    changes: PairSettings = field(default_factory=PairSettings)
    view: str = "CC"
    laterality: str = "L"
    density: str = "scattered"
    shape: tuple[int, int] = (3328, 2560)  # rows, columns
    spacing_mm: float = 0.07

    def __post_init__(self) -> None:
        check_fields(self, spacing_mm="(0, inf)")

    def write(self) -> Path:
        """Write the files; equal settings give equal bytes. Returns the path of `change.json`."""
        options: dict[str, Any] = {"view": self.view, "laterality": self.laterality, "density": self.density}
        options |= {"shape": tuple(self.shape), "spacing_mm": self.spacing_mm}
        pair = sample_pair(np.random.default_rng(self.seed), self.changes, **options)
        folder, specs = Path(self.dataset_dir).expanduser(), (pair.prior, pair.current.spec)
        for exam, (spec, phantom) in enumerate(zip(specs, pair.render(), strict=True)):
            written: dict[str, Any] = {"spacing_mm": spec.spacing_mm, "laterality": spec.laterality, "view": spec.view}
            written |= {"bits": spec.presentation.bits, "thickness_mm": spec.thickness_mm, "exam": exam}
            path = folder / ("prior.dcm", "current.dcm")[exam]
            write_phantom_dicom(path, phantom.image, seed=self.seed, patient_id=f"PAIR-{self.seed:04d}", **written)
        states = list(pair.states.values())
        return write_json(folder / "change.json", {state: states.count(state) for state in STATES})


def _shares(settings: PairSettings) -> tuple[float, float, float]:
    """Of the states of the prior exam's MCs."""
    same = 1 - settings.grown_share - settings.gone_share
    check("grown_share + gone_share", 1 - same, same >= 0, "at most 1")
    return same, settings.grown_share, settings.gone_share


def _deformation(rng: Rng, spec: PhantomSpec, thickness: float, turn: float, settings: PairSettings) -> Deformation:
    """From the current exam to the prior one: turn, stretch and shear about the nipple's level, shift, local part."""
    field_mm = np.array(spec.shape) * spec.spacing_mm
    shape = tuple(int(length / FIELD_MM) + 2 for length in field_mm)
    grid = np.indices(shape).reshape(2, -1) * FIELD_MM
    stretch = math.sqrt(thickness)  # a thinner breast is wider: the prior place is nearer to the middle
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = stretch * turned @ (np.eye(2) + rng.normal(0.0, settings.shear_sd, (2, 2)))
    centre = np.array([[spec.outline.centre_mm], [0.0]])
    source = matrix @ (grid - centre) + centre
    small = min(1.0, field_mm.min() / 120)  # a small field is a small breast
    source[0] += small * uniform(rng, settings.shift_range_mm)
    sigma = small * settings.local_mm / FIELD_MM
    for part in source:
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
        part += (small * settings.local_sd / noise.std() * noise).ravel()
    wall = source[1].reshape(shape)[:, 0].min()  # nothing from beyond the chest wall's border of the image
    source[1] += max(0.0, -wall) + small * uniform(rng, settings.hidden_range_mm)
    return Deformation((source - grid).reshape(2, *shape), (FIELD_MM, FIELD_MM))


def _moved(rng: Rng, mc: McSpec, to_prior: Deformation, turn: float, factor: float, height_sd: float) -> McSpec:
    row, col = to_prior.inverse(np.array([[mc.row_mm, mc.col_mm]]))[0] + rng.normal(0.0, height_sd, 2)
    diameter, thickness = mc.diameter_mm * factor, mc.thickness_um * factor
    place = replace(mc, row_mm=float(row), col_mm=float(col), angle=mc.angle - turn)
    return replace(place, diameter_mm=diameter, thickness_um=thickness)
