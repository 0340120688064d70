"""What the numbers in a label mask mean, everywhere."""

BACKGROUND, MC, IGNORE = 0, 1, 2
ARTERY = 3  # calcified artery, in the labels of training patches alone; no MC
