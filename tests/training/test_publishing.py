"""Which epoch's weights are kept and published, and what becomes of the file that was there."""

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler

from scripts.training.handlers import AverageWeights, TrainingState
from scripts.training.publishing import PublishWeights
from tests.training.toy import Evaluator, Toy


def test_the_best_epoch_is_kept_and_published_and_the_old_file_survives(tmp_path):
    target = tmp_path / "models" / "model.pt"
    target.parent.mkdir()
    target.write_bytes(b"shipped")
    toy = Toy(tmp_path, publish=target)
    after_three = None

    def keep(engine):
        nonlocal after_three
        if engine.state.epoch == 3:
            after_three = toy.network.weight.detach().clone()

    toy.trainer.add_event_handler(Events.EPOCH_COMPLETED, keep)
    toy.run(4)  # epoch 3 is the best, epoch 4 is not
    published = torch.load(target, weights_only=True)
    assert set(published) == {"weight", "bias"} and torch.equal(published["weight"], after_three)
    assert (tmp_path / "models" / "model.previous.pt").read_bytes() == b"shipped"


def test_every_replaced_file_is_kept_and_the_same_file_is_not(tmp_path):
    target = tmp_path / "models" / "model.pt"
    target.parent.mkdir()
    target.write_bytes(b"first")
    Toy(tmp_path, publish=target).run(1)
    target.write_bytes(b"second")
    Toy(tmp_path, publish=target).run(2)
    Toy(tmp_path, publish=target).run(4)  # epoch 3 replaces epoch 1
    Toy(tmp_path, publish=target, resume=False).run(4)  # trains the very same weights
    kept = {path.name: path.read_bytes() for path in target.parent.glob("*.previous*")}
    assert sorted(kept) == ["model.previous.pt", "model.previous2.pt", "model.previous3.pt"]
    assert (kept["model.previous.pt"], kept["model.previous2.pt"]) == (b"first", b"second")
    assert target.read_bytes() == (tmp_path / "model.pt").read_bytes()


def test_a_finished_run_publishes_nothing(tmp_path):
    target = tmp_path / "published.pt"
    Toy(tmp_path, publish=target).run(2)
    assert target.is_file()
    target.write_bytes(b"of another run")
    Toy(tmp_path, publish=target).run(2)
    assert target.read_bytes() == b"of another run" and not list(tmp_path.glob("*.previous*"))


def test_published_weights_are_on_the_cpu(tmp_path):
    class Elsewhere(torch.nn.Linear):  # state on a device that can not even be read
        def state_dict(self, *args, **kwargs):
            return {key: Remote(value) for key, value in super().state_dict(*args, **kwargs).items()}

    class Remote:
        def __init__(self, value):
            self.value, self.shape = value, value.shape

        def detach(self):
            return self

        def cpu(self):
            return self.value.detach()

    evaluator = Evaluator()
    evaluator.state.best_metric_epoch = 1
    trainer = Engine(lambda engine, batch: None)
    trainer.network = network = Elsewhere(3, 1)
    PublishWeights(evaluator, tmp_path / "model.pt").attach(trainer)
    trainer.run([0], max_epochs=1)
    assert torch.equal(torch.load(tmp_path / "model.pt", weights_only=True)["weight"], network.weight)


@pytest.mark.parametrize(("epoch", "kept"), [("best", 3.0), ("last", 4.0)])
def test_the_best_or_the_last_epoch_is_published(tmp_path, epoch, kept):
    evaluator, network = Evaluator(), torch.nn.Linear(1, 1)
    trainer = Engine(lambda engine, batch: torch.nn.init.constant_(network.weight, engine.state.epoch))
    trainer.network = network
    ValidationHandler(1, evaluator).attach(trainer)
    PublishWeights(evaluator, tmp_path / "model.pt", tmp_path / "published.pt", epoch).attach(trainer)
    trainer.run([0], max_epochs=4)
    assert torch.load(tmp_path / "published.pt", weights_only=True)["weight"].item() == kept
    with pytest.raises(ValueError, match="epoch: got 'first'"):
        PublishWeights(evaluator, tmp_path / "model.pt", epoch="first")


def test_the_moving_average_is_what_is_published_and_goes_on_after_a_resume(tmp_path):
    def averaged(folder):
        toy = Toy(folder)
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        average = torch.optim.swa_utils.AveragedModel(toy.network, multi_avg_fn=ema, use_buffers=True)
        AverageWeights(average).attach(toy.trainer)
        PublishWeights(None, folder / "average.pt", epoch="last", network=average).attach(toy.trainer)
        state = {"network": toy.network, "optimizer": toy.optimizer, "average": average}
        TrainingState(folder / "own" / "state.pt", state).attach(toy.trainer)
        return toy, average

    toy, average = averaged(tmp_path)
    steps = []
    toy.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: steps.append(toy.network.weight.detach().clone()))
    toy.run(3)
    expected = steps[0]
    for weight in steps[1:]:
        expected = 0.9 * expected + 0.1 * weight
    published = torch.load(tmp_path / "average.pt", weights_only=True)
    assert set(published) == {"weight", "bias"}
    torch.testing.assert_close(published["weight"], expected)
    assert not torch.allclose(published["weight"], toy.network.weight)

    (tmp_path / "parts").mkdir()
    averaged(tmp_path / "parts")[0].run(1)
    again, resumed = averaged(tmp_path / "parts")
    again.run(3)
    torch.testing.assert_close(resumed.module.weight, average.module.weight)
