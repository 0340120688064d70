"""Data sets to data lists."""
