"""Images and annotations in: readers, data lists, phantoms, patches."""
