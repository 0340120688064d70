"""The thin MONAI classes that the configs name."""
