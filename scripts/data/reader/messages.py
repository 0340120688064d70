"""What the reading process and the one that asks it say to each other: a JSON header a line, then raw bytes.

Nothing of a file is ever unpickled.
"""

import json
from typing import Any

import numpy as np


def encoded(message: Any) -> bytes:
    """A message of JSON types, tuples and numpy arrays or numbers, on one line."""
    return json.dumps(_to_json(message)).encode() + b"\n"


def decoded(line: bytes) -> Any:
    """The message of a line, of the same types to the last bit."""
    return _from_json(json.loads(line))


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {"dict": {key: _to_json(part) for key, part in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_to_json(part) for part in value]}
    if isinstance(value, list):
        return [_to_json(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _from_json(part) for key, part in value["dict"].items()}
    if "tuple" in value:
        return tuple(_from_json(part) for part in value["tuple"])
    return np.array(value["array"], dtype=value["dtype"])
