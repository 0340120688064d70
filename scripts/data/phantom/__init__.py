"""Physics-based full-field digital mammography phantom: random specification, pure rendering, DICOM, datalist."""

from scripts.data.phantom.dataset import phantom_datalist, phantom_images
from scripts.data.phantom.dicom import write_phantom_dicom
from scripts.data.phantom.rendering import McRecord, Phantom, render
from scripts.data.phantom.sampling import sample_spec
from scripts.data.phantom.spec import PhantomSpec

__all__ = [
    "McRecord",
    "Phantom",
    "PhantomSpec",
    "phantom_datalist",
    "phantom_images",
    "render",
    "sample_spec",
    "write_phantom_dicom",
]
