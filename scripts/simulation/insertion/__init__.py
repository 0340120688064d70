"""Simulated microcalcifications (MCs) in real normal mammograms: training data and benchmark sets.

In the order in which data flows: `shapes` (bank of thickness maps), `sampling` (which MCs, where), `rendering` (MCs
into an image, with label), `lookalikes` (what only resembles MCs), `domain` (other detectors and processing).
"""
