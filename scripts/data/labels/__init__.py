"""Annotations to label masks."""
