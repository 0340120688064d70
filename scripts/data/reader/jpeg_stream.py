"""Damage in a JPEG stream, by itself or inside of DICOM."""

import cv2
import numpy as np

from scripts.data.reader.errors import PathLike, check_file


def check_jpeg(path: PathLike, data: bytes) -> None:
    """Decode a JPEG stream once more with OpenCV, which tells on the standard error what Pillow keeps to itself:
    "Corrupt JPEG data", "premature end". A process apart (isolation.py) hears that and refuses the file."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    check_file(path, decoded is not None, "a damaged JPEG", "a complete and valid file")
