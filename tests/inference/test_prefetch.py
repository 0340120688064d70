"""One image ahead: order, bounds, failures, and the same results as one after the other."""

import threading
import time

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import IterationEvents
from monai.inferers import SimpleInferer

from scripts.data.lists.folder import FAILURE, TolerantDataset
from scripts.inference.evaluator import AHEAD, LookAhead, TolerantEvaluator

DEVICES = [name for name in ("cpu", "cuda") if name == "cpu" or torch.cuda.is_available()]


def test_batches_come_in_order_with_what_was_computed():
    found = list(LookAhead([{"x": i} for i in range(5)], lambda batch: batch["x"] ** 2))
    assert found == [{"x": i, AHEAD: i**2} for i in range(5)]
    assert list(LookAhead([], len)) == [] and len(LookAhead([{}, {}], len)) == 2


def test_the_next_batch_is_computed_meanwhile_and_no_further_one():
    started = [threading.Event() for _ in range(4)]
    loader = iter(LookAhead([{"x": i} for i in range(4)], lambda batch: started[batch["x"]].set()))
    for i in range(3):
        assert next(loader)["x"] == i
        assert started[i + 1].wait(5)  # while this batch is in our hands
        time.sleep(0.05)
        assert not any(event.is_set() for event in started[i + 2 :])
    loader.close()


def test_what_is_to_be_prepared_is_prepared_once_while_the_first_batch_is_read():
    reading, prepared = threading.Event(), []

    def batches():
        assert reading.wait(5)  # set by what is prepared: it does not wait for the first batch
        yield from ({"x": i} for i in range(3))

    loader = LookAhead(batches(), lambda batch: batch["x"], lambda: (prepared.append(1), reading.set()))
    assert [batch[AHEAD] for batch in loader] == [0, 1, 2] and prepared == [1]


def test_an_error_in_preparing_shows_with_the_images():
    class Broken(SimpleInferer):
        def prepare(self, network, device):
            raise ValueError("no form")

    images = [{"image": MetaTensor(torch.ones(1, 4, 4), meta={"filename_or_obj": name})} for name in ("a", "b")]
    inferer = Broken()
    evaluator = TolerantEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(images), batch_size=1),
        network=torch.nn.Identity(),
        inferer=inferer,
        prefetch=True,
    )
    done = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: done.append(engine.state.failure))
    evaluator.run()
    assert done == [None, None]  # preparing is no more than a head start


def test_errors_travel_with_their_batch_and_failures_are_not_computed():
    def compute(batch):
        if batch["x"] == 1:
            raise ValueError("no")
        return "done"

    batches = [{"x": 0}, {"x": 1}, {"x": 2, FAILURE: "unreadable"}, {"x": 3}]
    found = list(LookAhead(batches, compute))
    assert isinstance(found[1][AHEAD], ValueError)
    assert [batch.get(AHEAD) for batch in (found[0], found[2], found[3])] == ["done", None, "done"]


def test_errors_of_the_loader_itself_are_raised():
    def broken():
        yield {"x": 0}
        raise OSError("disk")

    loader = iter(LookAhead(broken(), len))
    next(loader)
    with pytest.raises(OSError, match="disk"):
        next(loader)


def test_leaving_early_waits_for_the_thread():
    loader, done = (
        iter(LookAhead([{"x": i} for i in range(3)], lambda batch: time.sleep(0.1))),
        threading.active_count(),
    )
    next(loader)
    loader.close()
    assert threading.active_count() <= done


class Load:
    """Reads number n as a constant image; 2 cannot be read."""

    def __call__(self, item):
        if item["image"] == "2":
            raise OSError("2: found nothing; wanted a file")
        image = torch.full((1, 8, 8), float(item["image"]))
        return {**item, "image": MetaTensor(image, meta={"filename_or_obj": item["image"]})}


class Network(torch.nn.Module):
    """Doubles; refuses 4. Notes its mode and whether gradients are recorded."""

    def __init__(self):
        super().__init__()
        self.factor, self.seen = torch.nn.Parameter(torch.tensor(2.0)), []

    def forward(self, x):
        self.seen.append((self.training, torch.is_grad_enabled()))
        if x.max() == 4:
            raise RuntimeError("four")
        return x * self.factor


def run(prefetch, device):
    data = [{"image": str(i), "image_id": str(i)} for i in range(6)]
    network, log = Network().to(device).train(), []
    evaluator = TolerantEvaluator(
        device=torch.device(device),
        val_data_loader=DataLoader(TolerantDataset(data, Load()), batch_size=1),
        network=network,
        inferer=SimpleInferer(),
        prefetch=prefetch,
    )
    forward = []
    evaluator.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda engine: forward.append(1))

    @evaluator.on(Events.ITERATION_COMPLETED)
    def note(engine):
        output, failure = engine.state.output, engine.state.failure
        log.append(
            (float(output[0]["pred"].mean()) if output else None, failure and (failure["file"], failure["stage"]))
        )

    evaluator.run()
    assert network.training and network.seen == [(False, False)] * 5
    assert len(forward) == 4
    return log


@pytest.mark.parametrize("device", DEVICES)
def test_overlapping_changes_nothing_but_the_time(device):
    wanted = [
        (0.0, None),
        (2.0, None),
        (None, ("2", "reading")),
        (6.0, None),
        (None, ("4", "processing")),
        (10.0, None),
    ]
    assert run(False, device) == wanted
    assert run(True, device) == wanted


def test_two_images_in_a_batch_are_refused_either_way():
    data = Dataset([{"image": str(i)} for i in range(2)], Load())
    for prefetch in (False, True):
        evaluator = TolerantEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(data, batch_size=2),
            network=Network(),
            prefetch=prefetch,
        )
        evaluator.run()
        assert "batch_size: got 2" in evaluator.state.failure["reason"]
