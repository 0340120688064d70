"""How the work on an image, or on several together, came out: six words that are the same in every output.

They follow DICOM's CID 6047 (all, some or none of the algorithms succeeded; with or without findings), whose "none" is
told apart by whether it was tried (CID 6042). "Nothing found" is said only where nothing failed.
"""

from collections.abc import Iterable

FOUND, NOTHING_FOUND = "found", "nothing found"
PARTLY_FOUND, PARTLY_NOTHING_FOUND = "found, partly failed", "nothing found, partly failed"
FAILED, NOT_ATTEMPTED = "failed", "not attempted"
DONE = (FOUND, NOTHING_FOUND)
WITH_RESULT = (*DONE, PARTLY_FOUND, PARTLY_NOTHING_FOUND)
OUTCOMES = (*WITH_RESULT, FAILED, NOT_ATTEMPTED)
#: Exit statuses: all done; an image has no result; all have one, but an analysis of one failed.
ALL_DONE, WITHOUT_RESULT, INCOMPLETE = 0, 1, 3


def outcome(found: bool, complete: bool = True) -> str:
    """The outcome of an image that has a result; `complete` where no analysis failed."""
    if complete:
        return FOUND if found else NOTHING_FOUND
    return PARTLY_FOUND if found else PARTLY_NOTHING_FOUND


def together(outcomes: Iterable[str]) -> str:
    """The outcome of images together; `NOTHING_FOUND` for no images."""
    each = list(outcomes)
    with_result = [one for one in each if one in WITH_RESULT]
    if each and not with_result:
        return NOT_ATTEMPTED if set(each) == {NOT_ATTEMPTED} else FAILED
    return outcome(bool({FOUND, PARTLY_FOUND} & set(with_result)), all(one in DONE for one in each))


def exit_status(outcomes: Iterable[str]) -> int:
    """Exit status of a run over images."""
    each = list(outcomes)
    if any(one not in WITH_RESULT for one in each):
        return WITHOUT_RESULT
    return ALL_DONE if all(one in DONE for one in each) else INCOMPLETE
