"""Second version of the frozen benchmark: mixtures of findings, labelled by detectability, as vendors present them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from scripts.candidates.breast_mask import breast_mask
from scripts.common.resampling import resample, resampled_size
from scripts.simulation.benchmark import BenchmarkSettings, Drawn
from scripts.simulation.insertion.detectability import Detectability, label_detectable
from scripts.simulation.insertion.mixtures import MixtureSettings, render_mixture, sample_mixture
from scripts.simulation.insertion.processing import (
    Processing,
    ProcessingSettings,
    apply_processing,
    sample_processing,
)
from scripts.simulation.insertion.shapes import SHAPE_SEEDS, shape_bank
from scripts.simulation.parameters import Range, Rng, log_between, named

VENDORS = {
    "sigmoid": Processing("sigmoid", 4.0, 0.45, (0.0, 0.5, 0.25)),
    "power": Processing("power", 0.35, 0.5, (0.5, 0.25, 0.0)),
    "shoulder": Processing("shoulder", 0.5, 0.45, (0.25, 0.0, 0.5)),
}
#: Edges of the classes of density: share of the breast that is brighter than half way between its dark and bright ends.
DENSITY_EDGES = (0.25, 0.5)


def _per_image() -> MixtureSettings:
    return MixtureSettings(
        cluster_number_shares=(0.0, 0.1, 0.3, 0.3, 0.3),
        singles_rate=4.0,
        touching_share=0.2,
        large_rate=1.5,
        rod_rate=0.5,
        skin_rate=2.0,
        artery_rate=0.5,
        clip_rate=0.5,
        keep_off_mm=1.5,
    )


@dataclass(frozen=True)
class MixtureBenchmark(BenchmarkSettings):
    """What is drawn into the backgrounds; of the base class, `bits` and `shifts` hold.

    The images without MCs hold the same arteries and metal: marks on these are false positives.
    """

    mixture: MixtureSettings = field(default_factory=_per_image)
    spacing_range_mm: Range = (0.05, 0.14)  # pixel size of an image, log-uniform
    processed_share: float = 0.75  # of the images are presented by `processing`
    processing: ProcessingSettings = field(default_factory=ProcessingSettings)
    detectability: Detectability = field(default_factory=Detectability)
    vendors: Mapping[str, Processing] = named(Processing, VENDORS)  # further shifts
    pixel_shifts: Mapping[str, float] = field(default_factory=dict)  # pixel sizes differ anyway
    version: ClassVar[int] = 2

    def draw(self, rng: Rng, background: np.ndarray, spacing_mm: float, section: str) -> Drawn:
        """Draw findings into a background, float32 (rows, cols) in [0, 1], on the pixel grid of the image."""
        density = density_class(background, breast_mask(background, spacing_mm, dark_fat=False))
        own_mm, bank = round(log_between(rng, self.spacing_range_mm), 4), shape_bank(SHAPE_SEEDS[section])
        background = resample(background, resampled_size(background.shape, spacing_mm / own_mm))
        breast = breast_mask(background, own_mm, dark_fat=False)
        made = render_mixture(background, sample_mixture(rng, breast, own_mm, bank, self.mixture), bank, breast)
        processing = sample_processing(rng, self.processing) if rng.random() < self.processed_share else Processing()
        image, plain = (apply_processing(picture, processing) for picture in (made.image, made.without))
        label, found = label_detectable(image, plain, made.objects, len(made.records), self.detectability)
        present = np.bincount(made.objects.ravel(), minlength=len(made.records) + 1)
        labelled = [int(d >= self.detectability.least_d and present[n] > 0) for n, d in enumerate(found, start=1)]
        records: list[dict[str, Any]] = [
            {"number": number, **record, "d_prime": round(d, 3), "label": 1 if is_mc else 2}
            for number, (record, d, is_mc) in enumerate(zip(made.records, found, labelled, strict=True), start=1)
        ]
        facts = {"density": density, "family": processing.family if processing.strength else "none"}
        return Drawn(image, plain, label, records, own_mm, made.objects, facts)

    def shifted(self, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The image under each change of grey values and in each vendor's presentation."""
        yield from super().shifted(image)
        for name, processing in self.vendors.items():
            yield f"vendor_{name}", apply_processing(image, processing)


def density_class(image: np.ndarray, breast: np.ndarray) -> str:
    """Class of the share of bright tissue: no radiologist's density, but rising with it."""
    values = image[breast]
    if not values.size:
        return ""
    dark, bright = np.percentile(values, [2, 98])
    share = float(np.mean(values > (dark + bright) / 2))
    place = int(np.searchsorted(DENSITY_EDGES, share, side="right"))
    return ("below 0.25 bright", "0.25 to 0.5 bright", "0.5 or more bright")[place]
