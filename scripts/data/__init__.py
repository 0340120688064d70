"""Images and annotations in: readers, labels, data lists, splits."""
