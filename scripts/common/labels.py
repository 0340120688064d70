"""What the numbers in a label mask mean, everywhere."""

BACKGROUND, MC, IGNORE = 0, 1, 2
