"""Several data lists as one, for training and fine-tuning on mixed sources."""

from collections.abc import Sequence

from scripts.common.checks import check
from scripts.data.splits import Datalist


def mixed_datalist(sources: Sequence[Datalist], repeats: Sequence[int] | None = None) -> Datalist:
    """Join data lists section by section (HDoGReg's fine-tuning mixes two sources, section IV-C).

    Args:
        sources: data lists {"training": [...], "validation": [...], ...}; a section may be missing.
        repeats: how often each source's training items are repeated, to balance a small source; default once each.
    """
    if not sources:
        raise ValueError("sources: got none; want at least one data list")
    counts = [1] * len(sources) if repeats is None else list(repeats)
    valid = len(counts) == len(sources) and min(counts) >= 1
    check("repeats", counts, valid, f"{len(sources)} numbers of 1 or more")
    joined: Datalist = {}
    for source, times in zip(sources, counts, strict=True):
        for section, items in source.items():
            copies = times if section == "training" else 1
            joined.setdefault(section, []).extend([dict(item) for _ in range(copies) for item in items])
    return joined
