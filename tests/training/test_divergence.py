"""A diverged training stops before the optimizer's step, says what to try, and leaves only finite weights."""

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer

from scripts.training.divergence import DivergenceError, StopDivergence
from scripts.training.handlers import TrainingState
from scripts.training.publishing import PublishWeights


class Steep(torch.autograd.Function):
    """The identity, with an infinite gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")


class Line(torch.nn.Module):
    def __init__(self, steep_from=None):
        super().__init__()
        self.line, self.steep_from, self.calls = torch.nn.Linear(2, 1), steep_from, 0

    def forward(self, x):
        self.calls += self.training
        y = self.line(x)
        return Steep.apply(y) if self.steep_from is not None and self.calls >= self.steep_from else y


def trainer_of(folder, images, lr=0.01, epochs=3, network=None):
    items = [
        {"image": torch.as_tensor(x), "label": torch.ones(1), "image_id": f"image {n}"} for n, x in enumerate(images)
    ]
    network = network or Line()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(items), batch_size=1),
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.MSELoss(),
        train_handlers=[
            StopDivergence(),
            PublishWeights(None, folder / "model.pt", folder / "published.pt"),
            TrainingState(folder / "checkpoint.pt", {"network": network, "optimizer": optimizer}),
        ],
    )
    return trainer


def finite(network):
    return all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_a_sound_training_is_left_alone(tmp_path):
    trainer = trainer_of(tmp_path, [[1.0, 2.0], [2.0, 1.0]])
    trainer.run()
    assert trainer.state.epoch == 3 and (tmp_path / "published.pt").is_file() and trainer.network.training


def test_a_learning_rate_that_is_too_high_stops_it_with_what_to_try(tmp_path):
    torch.manual_seed(0)
    trainer = trainer_of(tmp_path, [[1.0, 2.0], [2.0, 1.0]], lr=1e30)
    with pytest.raises(DivergenceError) as error:
        trainer.run()
    assert str(error.value) == (
        "loss: got inf in epoch 1, iteration 2; want a finite number: training diverged; lower --optimizer::lr (here "
        "1e+30), or look at the images (image 1); nothing is published; the best epoch before, if any, is kept"
    )
    assert not list(tmp_path.glob("[!.]*")) and finite(trainer.network)


def test_the_last_step_of_an_epoch_is_checked_too(tmp_path):
    torch.manual_seed(0)
    with pytest.raises(DivergenceError, match=r"^network's output: got .* in epoch 1, iteration 1; want a finite"):
        trainer_of(tmp_path, [[1e10, 2.0]], lr=1e30).run()
    assert not list(tmp_path.glob("[!.]*"))


def test_an_infinite_gradient_of_a_finite_loss_stops_it_before_the_step(tmp_path):
    trainer = trainer_of(tmp_path, [[1.0, 2.0], [2.0, 1.0]], network=Line(steep_from=4))  # the second step of epoch 2
    with pytest.raises(DivergenceError, match=r"^gradient: got inf in epoch 2, iteration 4; want .* --optimizer::lr"):
        trainer.run()
    assert finite(trainer.network)
    kept = torch.load(tmp_path / "model.pt", weights_only=True)  # of epoch 1
    assert all(torch.isfinite(value).all() for value in kept.values()) and not (tmp_path / "published.pt").exists()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"] == 1


def test_gradients_that_are_scaled_may_be_infinite(tmp_path):
    trainer = trainer_of(tmp_path, [[1.0, 2.0]], network=Line(steep_from=0), epochs=1)
    trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine, "scaler", object()))
    trainer.optimizer.step = lambda: None  # as the scaler does with such gradients
    trainer.run()
    assert trainer.state.epoch == 1 and (tmp_path / "published.pt").is_file()


def test_images_that_are_not_finite_are_named(tmp_path):
    with pytest.raises(DivergenceError, match=r"^image: got .* not finite \(image 1\) in epoch 1, iteration 2"):
        trainer_of(tmp_path, [[1.0, 2.0], [float("nan"), 2.0]]).run()


def test_train_json_stops_before_it_validates_or_keeps(root):
    from monai.bundle import ConfigParser

    handlers = ConfigParser.load_config_file(root / "configs" / "train.json")["train"]["handlers"]
    names = [handler["_target_"].rpartition(".")[2] for handler in handlers]
    assert names.index("StopDivergence") < min(
        map(names.index, ("ValidationHandler", "PublishWeights", "TrainingState"))
    )
