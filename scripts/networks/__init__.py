"""Networks, one a file, and the inferer that runs them over whole mammograms."""
