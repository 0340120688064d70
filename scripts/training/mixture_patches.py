"""Training patches of the second wave: mixtures of findings in real backgrounds, as vendors present them."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy import ndarray as Array

from scripts.common.labels import BACKGROUND
from scripts.common.resampling import resample
from scripts.simulation.insertion.detectability import Detectability, label_detectable
from scripts.simulation.insertion.domain import apply_domain, sample_domain
from scripts.simulation.insertion.lookalikes import draw_lookalikes, sample_lookalikes
from scripts.simulation.insertion.mixtures import MixtureSettings, render_mixture, sample_mixture
from scripts.simulation.insertion.processing import ProcessingSettings, apply_processing, sample_processing
from scripts.simulation.insertion.rendering import local_noise
from scripts.simulation.insertion.shapes import shape_bank
from scripts.simulation.parameters import Range, log_between
from scripts.training.insertion_patches import InsertionPatches


@dataclass(frozen=True)
class MixturePatches(InsertionPatches):
    """Patches of normal mammograms with a mixture of findings; calcified arteries and metal are background.

    MCs are labelled by their d' in the patch as it is in the end. Of the base class, `insertion`, its rates and blur
    are replaced by `mixture`; `with_mcs_share` is that of patches with MCs, clips and arteries may be in all.
    """

    patches_per_epoch: int = 800
    spacing_range_mm: Range = (0.05, 0.14)
    mixture: MixtureSettings = field(default_factory=MixtureSettings)
    processing: ProcessingSettings = field(default_factory=ProcessingSettings)
    processed_share: float = 0.6  # of patches are presented by `processing` before the changes of `domain`
    coarse_share: float = 0.25  # of patches lose the detail that larger pixels would not show, ...
    coarse_range: Range = (1.2, 2.0)  # ... larger by this factor
    detectability: Detectability = field(default_factory=Detectability)
    first_wave_share: float = 0.0  # of patches are the base class's, with its labels: fainter MCs are labelled there

    def _insert(self, rng: np.random.Generator, image: Array, known: Array, shape_seed: int) -> tuple[Array, Array]:
        if self.first_wave_share and rng.random() < self.first_wave_share:
            return super()._insert(rng, image, known, shape_seed)
        result, label, _ = self._mixture(rng, image, known == BACKGROUND, shape_seed)
        return result, np.where(known > 0, known, label)

    def _mixture(
        self, rng: np.random.Generator, image: Array, free: Array, shape_seed: int
    ) -> tuple[Array, Array, Array]:
        """The image with findings where `free`, its label by d', and its MCs by number, int32 (rows, cols)."""
        inside = cv2.GaussianBlur(image, (0, 0), 3.0) > self.air_level
        allowed = inside & free
        image = draw_lookalikes(image, sample_lookalikes(rng, allowed, local_noise(image), self.lookalikes))
        spacing_mm, bank = log_between(rng, self.spacing_range_mm), shape_bank(shape_seed)
        with_mcs = bool(rng.random() < self.with_mcs_share)
        spec = sample_mixture(rng, allowed, spacing_mm, bank, self.mixture, with_mcs)
        made = render_mixture(image, spec, bank, inside)
        processing = sample_processing(rng, self.processing) if rng.random() < self.processed_share else None
        coarser = log_between(rng, self.coarse_range) if rng.random() < self.coarse_share else 1.0
        domain = sample_domain(rng, self.domain)

        def shown(picture: Array) -> Array:
            if processing is not None:
                picture = apply_processing(picture, processing)
            if coarser > 1:
                side = round(self.patch_px / coarser)
                picture = resample(resample(picture, (side, side)), picture.shape)
            return apply_domain(picture, domain)

        result = shown(made.image)
        label = np.zeros(image.shape, np.uint8)
        if made.records:
            count = len(made.records)
            label, _ = label_detectable(result, shown(made.without), made.objects, count, self.detectability)
        return result, label, made.objects
