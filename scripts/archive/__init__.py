"""Archive in, archive out: a worker that segments the mammograms of an archive and stores the results there."""
