"""Stands in for the package of this name, which MONAI Label 0.8.5 imports and which does not go with numpy 2.

It is used for reading DICOM SEG from a DICOMweb server only.
"""
