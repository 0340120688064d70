"""One function turns configured objects into plain values: nothing that changes a result can be left out."""

import json
from dataclasses import dataclass

import pytest
import torch
from monai.transforms import Compose, RandFlipd

from scripts.common.settings import describe, differences, recorded


@dataclass(frozen=True)
class Inner:
    share: float = 0.3


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    side_px: int = 5
    progress: bool = True


@recorded
class Network(torch.nn.Module):
    def __init__(self, width: int = 4, stretched: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_a_parameter_object_is_its_class_and_all_its_fields_with_an_effect():
    inner = {"class": "Inner", "share": 0.3}
    assert describe(Outer()) == {"class": "Outer", "inner": inner, "side_px": 5}


def test_a_network_is_the_arguments_it_was_made_with_and_still_compiles():
    assert describe(Network(stretched=True)) == {"class": "Network", "width": 4, "stretched": True}
    assert torch.jit.script(Network())(torch.zeros(1, 4)).shape == (1, 1)


def test_a_foreign_network_is_told_by_its_shapes():
    one, other = describe(torch.nn.Linear(2, 3)), describe(torch.nn.Linear(3, 3))
    assert one["class"] == "Linear" and one != other


def test_a_chain_is_compared_part_by_part():
    chain = describe(Compose([RandFlipd("image", prob=0.5), RandFlipd("image", prob=0.1)]))
    assert list(chain) == ["class", "RandFlipd", "RandFlipd 2"]
    other = describe(Compose([RandFlipd("image", prob=0.5), RandFlipd("image", prob=0.2)]))
    assert [path for path, _, _ in differences(chain, other)] == ["RandFlipd 2.prob"]


def test_random_state_is_no_setting():
    flip = RandFlipd("image", prob=0.5)
    before = describe(flip)
    flip.set_random_state(seed=3)
    flip({"image": torch.zeros(1, 4, 4)})
    assert describe(flip) == before


@pytest.mark.parametrize(
    "thing", [torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1), Outer(), {"a": (1, 2)}]
)
def test_everything_is_json(thing):
    json.dumps(describe(thing))


def test_only_what_both_hold_can_differ():
    assert list(differences({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4, "e": 5}})) == [("b.c", 2, 4)]
