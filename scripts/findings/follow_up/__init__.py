"""Two exams of one breast: regions of interest, registration, which MC is which, and what changed."""
