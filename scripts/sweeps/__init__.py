"""Parameter sweeps and cross-validation: many runs of the bundle that survive a kill and share their work."""
