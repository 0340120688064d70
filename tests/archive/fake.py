"""An archive in memory that can fail, lie or end the worker at any call; a segmenter that finds drawn marks."""

from collections import Counter

from pydicom import dcmread

from scripts.archive.archive import (
    ArchiveUnreachable,
    FoundStudy,
    Instance,
    StoreRefused,
    check_is,
)
from tests.outputs.dicom.drawn import MARKS, drawn_item

HEADER = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality")


class Killed(BaseException):
    """Stands for kill -9: nothing may be done about it."""


class FakeArchive:
    """Holds files; `stored` counts how often each result was stored; `calls` the calls."""

    def __init__(self, *files, counts=True):
        self.held, self.stored, self.calls = {}, Counter(), 0
        self.counts = counts  # whether it tells how many instances a study has
        self.kill_at = None  # number of a half call: 2 n before, 2 n + 1 after call n
        self.down = 0  # calls that are not answered
        self.sends = {}  # SOP instance UID -> what is sent instead
        self.refuses = set()  # modalities that are not stored
        self.finished_studies = []
        for file in files:
            self.add(file)

    def add(self, file):
        dataset = dcmread(file, stop_before_pixels=True)
        instance = Instance(*(str(dataset[keyword].value) for keyword in HEADER))
        self.held[instance.sop] = instance, file.read_bytes()
        return instance

    def studies(self, wanted):
        with self._call():
            studies = Counter(instance.study for instance, _ in self.held.values())
            found = [FoundStudy(uid, number if self.counts else None) for uid, number in studies.items()]
        return iter(found)

    def instances(self, study):
        with self._call():
            return [instance for instance, _ in self.held.values() if instance.study == study]

    def fetch(self, instance, path):
        with self._call():
            path.write_bytes(self.sends.get(instance.sop, self.held[instance.sop][1]))
            check_is(path, instance)
        return path

    def store(self, file, study):
        with self._call():
            instance = Instance(*(str(dcmread(file)[keyword].value) for keyword in HEADER))
            assert instance.study == study
            if instance.modality in self.refuses:
                raise StoreRefused(f"{file.name}: got refused")
            self.stored[instance.sop] += 1
            self.held[instance.sop] = instance, file.read_bytes()

    def finished(self, study):
        self.finished_studies.append(study)

    def of(self, modality):
        """Data sets of a modality."""
        from io import BytesIO

        return [dcmread(BytesIO(content)) for instance, content in self.held.values() if instance.modality == modality]

    def _call(self):
        archive = self

        class Call:
            def __enter__(self):
                if archive.down:
                    archive.down -= 1
                    raise ArchiveUnreachable("down")
                archive._maybe_kill(2 * archive.calls)

            def __exit__(self, kind, error, trace):
                if error is None:
                    archive._maybe_kill(2 * archive.calls + 1)
                archive.calls += 1

        return Call()

    def _maybe_kill(self, half):
        if half == self.kill_at:
            self.kill_at = None
            raise Killed


class DrawnSegmenter:
    """Finds the drawn marks in every image; `fails` are SOP instance UIDs that it fails on."""

    method = "HDoGReg"

    def __init__(self, fails=(), marks=MARKS):
        self.fails, self.marks, self.seen = set(fails), marks, []

    def analyse(self, image):
        sop = str(dcmread(image, stop_before_pixels=True).SOPInstanceUID)
        self.seen.append(sop)
        if sop in self.fails:
            raise ValueError(f"{image}: got no breast in it; want a mammogram")
        return drawn_item(image, self.marks)
