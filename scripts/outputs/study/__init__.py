"""Results of a study: its images belong together. study.json, study.html (one self-contained page), one CAD report."""
