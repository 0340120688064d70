"""Findings out: combining, objects, measurements, pictures, reports."""
