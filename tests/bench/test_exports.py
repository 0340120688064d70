"""The table of exports: a row each for PyTorch, the bundle's own inference, and every file."""

from scripts.bench.exports import measure_form, write_tiles
from scripts.networks.checkpoint import LoadWeights
from scripts.networks.export import export
from scripts.networks.slim_fcn import SlimFCN


def test_rows_tell_agreement_time_and_memory(tiny_weights, tmp_path):
    network, weights = SlimFCN(), str(tiny_weights / "slim_fcn.pt")
    LoadWeights(weights).load(network)
    path = export(network, tmp_path / "model.ts")
    common = ("slim_fcn", weights, str(tmp_path / "tiles.npz"), 1)
    write_tiles(*common, 128)
    rows = [measure_form(form, file, *common, 1) for form, file in (("PyTorch, float32", None), ("x", str(path)))]
    assert all(row["difference of logits"] < 1e-5 and row["s per tile"] > 0 for row in rows)
    assert rows[0]["file, MB"] is None and rows[1]["file, MB"] > 1
    export(SlimFCN(), path)  # other weights
    assert measure_form("x", str(path), *common, 1)["difference of logits"] > 1e-3
