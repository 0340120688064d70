"""Physics-based full-field digital mammography phantom: random specification, pure rendering, DICOM, datalist."""

from scripts.simulation.phantom.dataset import phantom_datalist, phantom_images
from scripts.simulation.phantom.parameters import PhantomSettings, PhantomSpec
from scripts.simulation.phantom.rendering import Phantom, render
from scripts.simulation.phantom.sampling import sample_spec

__all__ = ["Phantom", "PhantomSettings", "PhantomSpec", "phantom_datalist", "phantom_images", "render", "sample_spec"]
