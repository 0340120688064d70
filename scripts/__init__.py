"""Microcalcification segmentation in mammograms: one folder per stage of the data's way."""
