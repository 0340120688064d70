"""A file (DICOM, NIfTI, PNG, TIFF, JPEG) to a [0, 1] image."""
