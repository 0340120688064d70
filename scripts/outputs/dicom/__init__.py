"""Results as DICOM: segmentation, measurement report (TID 1500), mammography CAD report (TID 4000)."""

import logging

logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies
