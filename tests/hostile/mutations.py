"""Ways to damage any file, drawn by seed: a mutated file is (what was done, its bytes)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

FLIPS, OVERWRITTEN, CUT, PADDED, INSERTED, DELETED = (
    "bits flipped",
    "bytes overwritten",
    "cut",
    "cut and padded",
    "bytes inserted",
    "bytes deleted",
)
UNNOTICEABLE = (FLIPS, OVERWRITTEN)  # where no checksum covers the pixels
Mutant = tuple[str, bytes]


def mutate(content: bytes, rng: np.random.Generator, times: int) -> Iterator[Mutant]:
    """Every kind of damage `times` times; half of it falls on the first 600 bytes, where headers are."""
    size = len(content)

    def place() -> int:
        return int(rng.integers(0, min(size, 600) if rng.random() < 0.5 else size))

    for number in range(times):
        flipped = bytearray(content)
        for _ in range((1, 1, 3, 20)[number % 4]):
            flipped[place()] ^= 1 << int(rng.integers(0, 8))
        yield FLIPS, bytes(flipped)
        here, length = place(), int(rng.integers(1, 64))
        fill = (bytes(length), b"\xff" * length, rng.bytes(length))[number % 3]
        yield OVERWRITTEN, content[:here] + fill + content[here + length :]
        share = int(size * (0.02, 0.3, 0.6, 0.9, 0.99)[number % 5]) + int(rng.integers(0, 9))
        yield CUT, content[:share]
        yield INSERTED, content[:here] + rng.bytes(length) + content[here:]
        yield DELETED, content[:here] + content[here + length :]


def cut_and_padded(content: bytes, share: float, fill: bytes, tail: bytes = b"") -> Mutant:
    """As long as before, with `fill` in place of the end, but for its last bytes `tail`."""
    kept = int(len(content) * share)
    filled = (fill * len(content))[: len(content) - kept - len(tail)]
    return PADDED, content[:kept] + filled + tail
