"""Which images belong to one study, and how they hang.

By the tag Study Instance UID; images without one by the name of the file, of which side and view are taken off
("P07_L_CC.png", "P07-RMLO.png": study "P07"), by their folder, or each on its own. A failed image whose tags cannot be
read goes by its name, else by its folder, to the one study that is there: a failure must not vanish from its study.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePath

from scripts.common.checks import check
from scripts.common.identity import Identity
from scripts.common.outcomes import WITH_RESULT
from scripts.outputs.study.results import Image

FILE_RULES = ("name", "folder", "image")
#: Views in the order in which they hang, one below the other.
VIEWS = ("CC", "XCCL", "XCCM", "MLO", "ML", "LM")
_SIDE_AND_VIEW = re.compile(
    r"(?:^|[_\-. ])(?P<side>L|R|LEFT|RIGHT)[_\-. ]?(?P<view>CC|MLO|ML|LM|XCCL|XCCM)(?=$|[_\-. ])", re.IGNORECASE
)


@dataclass(frozen=True)
class Placed:
    """An image and its side and view, of the tags or else of the file's name."""

    image: Image
    laterality: str  # "L", "R", ""
    view: str

    @property
    def label(self) -> str:
        """As "R CC"."""
        return " ".join(filter(None, (self.laterality, self.view))) or self.image.name


@dataclass(frozen=True)
class Group:
    """The images of one study."""

    name: str  # of its folder of results
    grouped_by: str  # "study UID", "name", "folder", "image"
    study_uid: str
    images: tuple[Placed, ...]

    def hanging(self) -> list[tuple[Placed | None, Placed | None]]:
        """Rows of (right breast, left breast), craniocaudal first; images of no known side fill rows of their own."""
        rows: list[tuple[Placed | None, Placed | None]] = []
        views = {placed.view for placed in self.images if placed.laterality}
        for view in sorted(views, key=lambda name: (VIEWS.index(name) if name in VIEWS else len(VIEWS), name)):
            right, left = ([p for p in self.images if (p.laterality, p.view) == (side, view)] for side in "RL")
            rows += zip_longest(right, left)
        rest = [placed for placed in self.images if not placed.laterality]
        return rows + [(rest[i], rest[i + 1] if i + 1 < len(rest) else None) for i in range(0, len(rest), 2)]

    def in_order(self) -> list[Placed]:
        """The images as they hang, row by row."""
        return [placed for row in self.hanging() for placed in row if placed is not None]


def group_images(images: Sequence[Image], files: str = "name", identity: Identity | None = None) -> list[Group]:
    """Studies of images, by name; `files` is the rule for images without a study UID.

    With identity "none" every image is on its own: nothing may tell which belong together.
    """
    check("group_files_by", files, files in FILE_RULES, f"one of {', '.join(FILE_RULES)}")
    identity = identity or Identity()
    members: dict[tuple[str, str], list[Image]] = defaultdict(list)
    waiting = []
    for image in images:
        if uid := image.identity.get("study_uid", ""):
            members["study UID", uid].append(image)
        elif image.identity or image.status in WITH_RESULT or identity.mode == "none":
            members[_file_key(image, files, identity)].append(image)
        else:
            waiting.append(image)
    for image in waiting:
        members[_home(image, members) or _file_key(image, files, identity)].append(image)
    taken: set[str] = set()
    groups = []
    for (grouped_by, key), own in members.items():
        placed = tuple(placed_image(image) for image in own)
        name = _free(_safe(key), taken)
        groups.append(Group(name, grouped_by, key if grouped_by == "study UID" else "", placed))
    return sorted(groups, key=lambda group: group.name)


def side_and_view(name: str) -> tuple[str, str, str]:
    """(name without side and view, "L" or "R", view) of a file's name; (name, "", "") where it does not say."""
    places = list(_SIDE_AND_VIEW.finditer(name))
    if not places:
        return name, "", ""
    found = places[-1]  # what comes before it names the case
    rest = (name[: found.start()] + name[found.end() :]).strip("_-. ")
    return rest, found["side"][0].upper(), found["view"].upper()


def _path(image: Image) -> PurePath:
    """Folder and name that the image is grouped by: its file's, where that is known."""
    return image.source.with_suffix("") if image.source is not None else PurePath(image.image_id)


def _file_key(image: Image, files: str, identity: Identity) -> tuple[str, str]:
    path, alone = _path(image), ("image", image.image_id)
    if identity.mode == "none" or files == "image":
        return alone
    if files == "folder":
        rule, key, shown = "folder", str(path.parent), path.parent.name or "study"
    else:
        rest, side, _ = side_and_view(path.name)
        if not side:
            return alone
        rule, key, shown = "name", str(path.parent / rest), rest or path.parent.name
    # studies of one name in two folders stay apart: the key is the whole path, where that may be told
    return rule, identity.pseudonym(key) if identity.mode == "pseudonym" else f"{shown}\0{key}"


def _home(image: Image, members: dict[tuple[str, str], list[Image]]) -> tuple[str, str] | None:
    """The one study that an image without tags must be of, by its name or else by its folder; None if not known."""
    rest, side, _ = side_and_view(_path(image).name)
    near = [(key, other) for key, own in members.items() for other in own if _lie_together(image, other)]
    by_name = {key for key, other in near if side and side_and_view(_path(other).name)[0] == rest}
    by_folder = {key for key, _ in near if key[0] == "study UID"}
    return next((keys.pop() for keys in (by_name, by_folder) if len(keys) == 1), None)


def _lie_together(image: Image, other: Image) -> bool:
    if image.source is not None and other.source is not None:
        return image.source.parent == other.source.parent
    return PurePath(image.image_id).parent == PurePath(other.image_id).parent  # names of results follow the folders


def placed_image(image: Image) -> Placed:
    """An image with side and view."""
    _, side, view = side_and_view(_path(image).name)
    told = image.identity
    tagged = told.get("laterality")
    return Placed(image, str(tagged) if tagged in ("L", "R") else side, str(told.get("view") or view))


def _safe(key: str) -> str:
    """A folder's name of a key."""
    shown = key.partition("\0")[0]
    return re.sub(r"[^\w.\-]+", "_", shown).strip("._")[:100] or "study"


def _free(name: str, taken: set[str]) -> str:
    wish, number = name, 2
    while name.casefold() in taken:
        name, number = f"{wish}~{number}", number + 1
    taken.add(name.casefold())
    return name
