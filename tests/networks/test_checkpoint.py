"""Loading a network's weights when an engine starts: what fits is loaded, what does not says why."""

import errno
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from scripts.networks.checkpoint import LoadWeights, WeightsError, write_file
from scripts.networks.context_cnn import ContextCNN
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN


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


class Code:
    """An object whose pickle runs a command when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def saved(content):
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def zipped(name, method):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, bytes(100_000))
    return stream.getvalue()


def flipped(content):
    at = content.index(b"data/0") + 200
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


def scripted():
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(small()), stream)
    return stream.getvalue()


STATE = saved({"a": torch.arange(1000.0)})
BAD_FILES = {
    "empty": (lambda mark: b"", "is cut short"),
    "a text": (lambda mark: b"no archive", "is damaged, or not written by torch.save"),
    "cut short": (lambda mark: STATE[: len(STATE) // 2], "is cut short"),
    "without its last byte": (lambda mark: STATE[:-1], "is damaged"),
    "one bit wrong": (lambda mark: flipped(STATE), r"is damaged \(the checksum of archive/data/0 is wrong\)"),
    "another archive": (lambda mark: zipped("a.txt", zipfile.ZIP_STORED), "is damaged, or not written by torch.save"),
    "a compressed archive": (lambda mark: zipped("a/data.pkl", zipfile.ZIP_DEFLATED), "is another archive"),
    "code, old format": (lambda mark: pickle.dumps(Code(mark)), "is damaged, or not written by torch.save"),
    "code": (lambda mark: saved({"a": Code(mark)}), r"holds Python objects \(posix.system\)"),
    "a whole network": (lambda mark: saved(small()), r"holds Python objects \(torch.nn.modules"),
    "TorchScript": (lambda mark: scripted(), r"is another archive \(TorchScript, say\)"),
    "100,000 lists in each other": (lambda mark: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "is damaged"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_with_a_remedy_and_runs_nothing(tmp_path, kind):
    make, words = BAD_FILES[kind]
    path, mark, network = tmp_path / "bad.pt", tmp_path / "mark", small()
    path.write_bytes(make(mark))
    before = network[0].weight.detach().clone()
    wanted = r"want a state dict \(.pt\) of Sequential"
    with pytest.raises(ValueError, match=rf"^weights: {path} {words}.*{wanted}") as error:
        load(path, network)
    assert "weights_only" not in str(error.value) and "\n" not in str(error.value)
    assert not mark.exists() and torch.equal(network[0].weight, before)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        load(tmp_path, small())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_written_nor_loaded(tmp_path, value):
    state = small().state_dict()
    state["1.running_var"][1] = value
    with pytest.raises(ValueError, match=r"new\.pt: got numbers that are not finite, in network\.1\.running_var"):
        write_file(tmp_path / "new.pt", {"network": state, "epoch": 3})
    assert not list(tmp_path.iterdir())
    torch.save(state, tmp_path / "a.pt")
    network = small()
    with pytest.raises(ValueError, match=r"^weights: .*a\.pt holds numbers .* in 1\.running_var: its training"):
        load(tmp_path / "a.pt", network)
    assert torch.isfinite(network[1].running_var).all()


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    write_file(tmp_path / "a.pt", {"a": torch.zeros(3)})
    before = (tmp_path / "a.pt").read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "a.pt", {"a": torch.ones(3)})
    assert (tmp_path / "a.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("network", [FPN(), SlimFCN(), ContextCNN()], ids=lambda network: type(network).__name__)
def test_a_method_network_refuses_other_weights_even_where_they_need_not_match(network):
    """MONAI Label loads with strict=False whatever file of the models folder a client picks."""
    state = network.state_dict()
    network.load_state_dict(state, strict=False)
    first = next(iter(state))
    for other in ({}, {**state, "more": torch.zeros(1)}, {k: v for k, v in state.items() if k != first}):
        with pytest.raises(ValueError, match=f"weights: got those of another network .* want {type(network).__name__}"):
            network.load_state_dict(other, strict=False)


def test_weights_of_fewer_maps_fill_the_first_ones(tmp_path):
    options = {"encoder": "residual", "pyramid_channels": 32, "segmentation_channels": 32, "detail_channels": 4}
    few, more = FPN(out_channels=2, **options), FPN(out_channels=3, head_bias=-3.0, **options)
    write_file(tmp_path / "few.pt", few.state_dict())
    with pytest.raises(WeightsError, match="another network"):
        LoadWeights(tmp_path / "few.pt").load(more)
    third = more.segmentation_head[0].weight[2].clone()
    LoadWeights(tmp_path / "few.pt", more_maps=True).load(more)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(more.eval()(image)[:, :2], few.eval()(image))
    assert torch.equal(more.segmentation_head[0].weight[2], third)
    assert more.segmentation_head[0].bias[2] == -3
    with pytest.raises(WeightsError, match="another network"):  # fewer maps than the weights hold
        write_file(tmp_path / "more.pt", more.state_dict())
        LoadWeights(tmp_path / "more.pt", more_maps=True).load(few)
