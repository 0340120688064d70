"""Loading a network's weights when an engine starts: what fits is loaded, what does not says why."""

import pytest
import torch
from ignite.engine import Engine

from scripts.networks.checkpoint import LoadWeights


def small(out=2):
    return torch.nn.Sequential(torch.nn.Conv2d(1, out, 3), torch.nn.BatchNorm2d(out))


def load(path, network, **more):
    engine = Engine(lambda engine, batch: None)
    engine.network = network
    LoadWeights(path, **more).attach(engine)
    engine.run([0])


@pytest.mark.parametrize("key", [None, "network", "model"])
def test_a_state_dict_is_loaded_plain_or_under_its_key(tmp_path, key):
    given, network = small(), small()
    state = given.state_dict()
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "a.pt")
    assert not torch.equal(network[0].weight, given[0].weight)
    load(tmp_path / "a.pt", network)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_weights_saved_on_a_gpu_load_without_one(tmp_path, monkeypatch):
    given, network = small(), small()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
        torch.save(given.state_dict(), tmp_path / "a.pt")
    with pytest.raises(RuntimeError, match="CUDA"):  # the file does ask for a device that is not there
        torch.load(tmp_path / "a.pt", weights_only=True)
    load(tmp_path / "a.pt", network)
    assert torch.equal(network[0].weight, given[0].weight) and network[0].weight.device.type == "cpu"


def test_a_missing_file_says_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load(tmp_path / "no.pt", small())
    assert str(error.value) == (
        f"weights: {tmp_path / 'no.pt'} does not exist; want a state dict (.pt) of Sequential, "
        "e.g. train one with configs/train.json"
    )


@pytest.mark.parametrize("empty", ["", None])
def test_no_path_loads_nothing_where_that_is_allowed(empty):
    network = small()
    before = network[0].weight.detach().clone()
    load(empty, network, optional=True)
    assert torch.equal(network[0].weight, before)
    with pytest.raises(ValueError, match=r"weights: no path given; want a state dict \(.pt\) of Sequential"):
        load(empty, network)


def test_optional_does_not_excuse_a_wrong_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.pt does not exist"):
        load(tmp_path / "no.pt", small(), optional=True)


def test_weights_of_another_network_are_counted_and_load_nothing(tmp_path):
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = small().state_dict()
    state["0.weight"] = torch.zeros(2, 3, 3, 3)
    del state["1.running_mean"], state["1.running_var"]
    state["head.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(ValueError) as error:
        load(tmp_path / "other.pt", network)
    assert str(error.value) == (
        f"weights: {tmp_path / 'other.pt'} holds weights of another network (2 keys missing, 1 unexpected, 1 of "
        "another shape; first: 1.running_mean); want Sequential: pass the overlay that belongs to the weights"
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {}, {"epoch": 3}])
def test_a_file_without_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt holds no state dict but a \w+; want a state dict"):
        load(tmp_path / "a.pt", small())


def test_damaged_and_whole_pickled_networks_are_refused(tmp_path):
    (tmp_path / "damaged.pt").write_bytes(b"no archive")
    torch.save(small(), tmp_path / "pickled.pt")  # would run code from the file: not read
    for path in (tmp_path / "damaged.pt", tmp_path / "pickled.pt", tmp_path):
        with pytest.raises(ValueError, match="is unreadable"):
            load(path, small())
