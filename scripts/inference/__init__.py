"""Whole mammograms through a network."""
