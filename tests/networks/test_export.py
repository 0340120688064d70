"""Exported networks give PyTorch's logits for images of any size; a wrong size is impossible."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from scripts.networks.checkpoint import LoadWeights
from scripts.networks.export import WRITERS, ExportedNetwork, Exports, export
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN

SHAPES = [(1, 1, 161, 203), (2, 1, 64, 96), (3, 1, 33, 47), (1, 1, 20, 19)]  # rows <> cols, multiples of 32 and not
NEEDS = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".xml": ("onnx", "onnxscript", "openvino")}
SLOW = [
    pytest.param(kind, suffix, marks=pytest.mark.slow)
    for kind, suffixes in (("slim_fcn", (".onnx", ".xml")), ("hdogreg", (".pt2", ".onnx", ".xml")))
    for suffix in suffixes
]


@pytest.fixture(scope="module")
def networks(root):
    """Both networks with the shipped weights."""
    found = {}
    for kind, overlay, weights in (("hdogreg", None, "model"), ("slim_fcn", "slim_fcn_inference.json", "slim_fcn")):
        parser = ConfigParser()
        parser.read_config([str(root / "configs" / name) for name in ("inference.json", overlay) if name])
        found[kind] = parser.get_parsed_content("network_def").eval()
        LoadWeights(root / "models" / f"{weights}.pt").load(found[kind])
    return found


@pytest.mark.parametrize(("kind", "suffix"), [("hdogreg", ".ts"), ("slim_fcn", ".ts"), ("slim_fcn", ".pt2"), *SLOW])
def test_an_export_gives_pytorchs_logits_for_any_size(networks, tmp_path, kind, suffix):
    for package in NEEDS.get(suffix, ()):
        pytest.importorskip(package)
    network, exact = networks[kind], suffix in (".ts", ".pt2")
    run = ExportedNetwork(export(network, tmp_path / f"model{suffix}"), threads=1)
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        image = torch.rand(shape, generator=generator)
        with torch.no_grad():
            wanted = network(image)
        torch.testing.assert_close(run(image), wanted, rtol=1e-5, atol=1e-5 if exact else 2e-4)
    if suffix == ".xml":
        assert (tmp_path / "model.bin").is_file()
    assert {path.suffix for path in tmp_path.iterdir()} <= {suffix, ".bin"}  # nothing half written is left


@pytest.mark.slow
def test_a_program_refuses_what_it_does_not_compute(networks, tmp_path):
    program = torch.export.load(export(networks["hdogreg"], tmp_path / "model.pt2")).module()
    assert program(torch.rand(1, 1, 64, 96)).shape == (1, 3, 64, 96)
    for shape in ((1, 1, 513, 704), (1, 1, 32, 64)):
        with pytest.raises(AssertionError):
            program(torch.rand(shape))


def test_a_result_of_another_size_is_an_error(tmp_path):
    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, ::2]

    torch.jit.script(Halves()).save(str(tmp_path / "model.ts"))
    with pytest.raises(RuntimeError, match=r"model\.ts: got logits \(1, 1, 4, 8\) of an image \(1, 1, 8, 8\)"):
        ExportedNetwork(tmp_path / "model.ts")(torch.rand(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: ExportedNetwork(folder / "none.ts"), "none.ts'; want a file of .ts, .pt2, .onnx, .xml"),
        (lambda folder: export(SlimFCN(), folder / "model.pb"), "model.pb'; want a suffix of"),
        (lambda folder: Exports(torch.nn.Identity(), LoadWeights(""), folder), "network: got 'Identity'; want FPN"),
        (lambda folder: Exports(SlimFCN(), LoadWeights(""), folder, formats=["pb"]), "formats: got 'pb'; want some"),
    ],
)
def test_what_cannot_be_exported_says_so(tmp_path, make, said):
    with pytest.raises(ValueError) as caught:
        make(tmp_path)
    assert said in str(caught.value)


def test_a_format_whose_packages_are_missing_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.networks.export.find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(
        ValueError, match=r"formats: got 'openvino'; want it with .*requirements-export\.txt \(no onnx\)"
    ):
        Exports(SlimFCN(), LoadWeights(""), tmp_path, formats=["torchscript", "openvino"])


def test_the_config_writes_the_formats_with_the_weights(root, tiny_weights, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / name) for name in ("inference.json", "export.json")])
    given = {"weights": tiny_weights / "model.pt", "output_dir": tmp_path, "exports::formats": ["torchscript"]}
    parser.update(given)
    paths = parser.get_parsed_content("exports").write()
    assert paths == [tmp_path / "model.ts"]
    network = FPN(**json.loads(json.dumps(parser["network_def"] | {"_target_": ""}), object_hook=_arguments))
    network.load_state_dict(torch.load(tiny_weights / "model.pt", weights_only=True))
    image = torch.rand(1, 1, 40, 70)
    with torch.no_grad():
        torch.testing.assert_close(ExportedNetwork(paths[0])(image), network.eval()(image))


def _arguments(content):
    return {key: value for key, value in content.items() if not key.startswith("_")}


def test_every_format_has_a_suffix_of_its_own():
    assert len({suffix for suffix, _, _ in WRITERS.values()}) == len(WRITERS) == 4
    assert all(Path(f"a{suffix}").suffix == suffix for suffix, _, _ in WRITERS.values())
