"""When freed memory goes back to the system: not after every array, but after every image."""

import ctypes
import logging
import platform

logger = logging.getLogger(__name__)
#: `mallopt`'s parameters (malloc.h of the GNU C library).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def keep_freed_memory(below_mb: int = 40) -> bool:
    """Let the C library reuse the memory of freed arrays; changes no result.

    By default every array above 32 MiB is fetched from the system anew and handed back when it is freed, and the
    system fills each page with zeros at first touch. For a network on a processor that is up to half of the time
    (docs/performance.md). All threads share one pool, so that what one frees another can take.

    Arrays up to `below_mb` (MiB) are kept; larger ones are still handed back, so that a few very large ones do not
    scatter over the pool. Returns whether it could be set: on Linux with the GNU C library only.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    settings = {M_ARENA_MAX: 1, M_MMAP_THRESHOLD: below_mb * 2**20, M_TRIM_THRESHOLD: 2**31 - 1}  # the largest int
    done = all(ctypes.CDLL(None).mallopt(name, value) for name, value in settings.items())
    logger.debug("keeping freed memory: %s", done)
    return done


def give_back_freed_memory() -> None:
    """Hand freed memory back to the system (GNU C library only); between images, so that pieces do not add up."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
