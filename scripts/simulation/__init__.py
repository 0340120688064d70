"""Simulated mammograms and simulated MCs in real ones."""
