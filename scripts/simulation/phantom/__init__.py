"""Physics-based full-field digital mammography phantom: random specification, pure rendering, DICOM, datalist."""

from scripts.simulation.phantom.dataset import phantom_datalist, phantom_images
from scripts.simulation.phantom.dicom import write_phantom_dicom
from scripts.simulation.phantom.parameters import PhantomSettings
from scripts.simulation.phantom.rendering import McRecord, Phantom, render
from scripts.simulation.phantom.sampling import sample_spec
from scripts.simulation.phantom.spec import PhantomSpec

__all__ = [
    "McRecord",
    "Phantom",
    "PhantomSettings",
    "PhantomSpec",
    "phantom_datalist",
    "phantom_images",
    "render",
    "sample_spec",
    "write_phantom_dicom",
]
