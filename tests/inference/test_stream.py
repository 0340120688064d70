"""Images handed over one by one from other threads, against a run over the list of them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from monai.data import DataLoader
from monai.inferers import SimpleInferer

from scripts.data.lists.folder import list_mammograms
from scripts.inference.evaluator import TolerantEvaluator
from scripts.inference.stream import ImageStream
from scripts.outputs.run_report import RunReport
from scripts.outputs.writer import FindingsWriter
from tests.outputs.tiny_run import Doubling, Load, folder_run, measure, write_inputs


class Slow:
    """Reading, with a note of how many images are being read or computed while results are written."""

    def __init__(self):
        self.events = []

    def __call__(self, item):
        self.events.append(f"read {item['image_id']}")
        return Load(0.02)(item)


@pytest.fixture
def stream(tmp_path):
    write_inputs(tmp_path / "in", *(f"{i}.png" for i in range(8)))
    (tmp_path / "in" / "4.png").write_text("ruined")
    report = RunReport(tmp_path / "out", {"a": 1}, progress=False)
    stream = ImageStream(Slow(), report.entry_of)
    evaluator = TolerantEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(stream, batch_size=1),
        network=Doubling(),
        inferer=SimpleInferer(),
        postprocessing=measure,
        val_handlers=[FindingsWriter(tmp_path / "out", ("mask", "table")), stream],
        prefetch=True,
    )
    thread = threading.Thread(target=evaluator.run)
    thread.start()
    yield stream
    stream.close()
    thread.join(20)
    assert not thread.is_alive()


def without_time(entries):
    return sorted(({**entry, "seconds": None} for entry in entries), key=lambda entry: entry["image_id"])


def test_images_from_many_threads_are_what_a_folder_run_makes_of_them(stream, tmp_path):
    items = list_mammograms(tmp_path / "in")
    with ThreadPoolExecutor(3) as pool:
        entries = list(pool.map(stream.process, items))
    assert [entry["image_id"] for entry in entries] == [item["image_id"] for item in items]  # each its own answer
    assert entries[4]["status"] == "failed" and "got 'ruined'; want a number" in entries[4]["reason"]
    assert folder_run(tmp_path / "in", tmp_path / "other") == 1
    report = RunReport(tmp_path / "other", {"a": 1})
    report.known([])
    assert without_time(report.earlier) == without_time(entries)
    for file in (tmp_path / "other").glob("*/*"):
        assert (tmp_path / "out" / file.relative_to(tmp_path / "other")).read_bytes() == file.read_bytes()


def test_the_next_image_is_read_before_the_present_one_is_written(stream, tmp_path, monkeypatch):
    events = stream.transform.events
    original = FindingsWriter.write

    def write(self, image_id, item):
        for _ in range(200):
            if f"read {int(image_id) + 1}" in events or image_id == "3":
                break
            threading.Event().wait(0.01)
        events.append(f"wrote {image_id}")
        return original(self, image_id, item)

    monkeypatch.setattr(FindingsWriter, "write", write)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(stream.process, list_mammograms(tmp_path / "in")[:4]))
    assert all(events.index(f"read {i + 1}") < events.index(f"wrote {i}") for i in range(3))
