"""What became of a hostile file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.isolation import read_isolated
from scripts.data.reader.mammogram_reader import Reading

RIGHT, REFUSED, UNNOTICED, WRONG = "read right", "refused clearly", "flipped unnoticed", "silently wrong"
CONTAINED = "decoder crashed apart, file refused"  # a crash of this process would end the test
HANG, UNCLEAR = "hang", "unclear"
BAD = (WRONG, HANG, UNCLEAR)
LIMITED = Reading(time_limit_s=10, memory_limit_mb=2000)


def outcome(path: Path, expected: np.ndarray | None, may_go_unnoticed: bool = False) -> tuple[str, str]:
    """Outcome class of reading a file, and what was said. `expected` pixels (rows, cols) of the undamaged file, None
    where nothing must be read; `may_go_unnoticed`: no format could tell that these values were changed."""
    try:
        image, _ = read_isolated(path, LIMITED)
    except MammogramReadError as error:
        said = str(error)
        if "takes more than" in said:
            return HANG, said
        clear = error.path == str(path) and error.got and error.want and "\n" not in said and len(said) < 1500
        kept_in = CONTAINED if "crashes its decoder" in said else REFUSED
        return (kept_in if clear else UNCLEAR), said
    except Exception as error:
        return UNCLEAR, f"{type(error).__name__}: {error}"
    if expected is not None and image.shape == expected.shape and np.array_equal(image, expected):
        return RIGHT, ""
    return (UNNOTICED if may_go_unnoticed else WRONG), f"shape {image.shape}"
