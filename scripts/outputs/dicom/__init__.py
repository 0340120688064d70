"""Results as DICOM: segmentation, measurement report (TID 1500), mammography CAD report (TID 4000)."""
