import hashlib
from urllib.error import URLError

import pytest
import torch
from torch import nn

from scripts.networks import weights
from scripts.networks.fpn import FPN
from scripts.networks.weights import EncoderWeightsError, fit_input_channels, load_encoder_weights


class TinyEncoder(nn.Module):
    """Stands for Inception-v4: the same kind of keys, a few weights."""

    first_conv = "features.0.weight"

    def __init__(self, in_channels=1):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(in_channels, 4, 3, bias=False), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.features(x)


@pytest.fixture
def published():
    """A classifier's state dict as published: three channels, a linear layer, no counters of batches."""
    torch.manual_seed(7)
    rgb = TinyEncoder(in_channels=3).eval()
    state = {key: value for key, value in rgb.state_dict().items() if not key.endswith("num_batches_tracked")}
    return rgb, {**state, "last_linear.weight": torch.rand(5, 4), "last_linear.bias": torch.rand(5)}


@pytest.fixture
def server(published, tmp_path, monkeypatch):
    """A folder that plays the web server; returns a function that publishes the file under a given hash."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))

    def publish(digest=None):
        file = tmp_path / "weights.pth"
        torch.save(published[1], file, _use_new_zipfile_serialization=False)
        digest = digest or hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        target = file.rename(tmp_path / f"tiny-{digest}.pth")
        monkeypatch.setitem(weights.IMAGENET_URLS, "inception_v4", target.as_uri())
        return target

    return publish


def test_imagenet_weights_are_downloaded_and_respond_to_grey_as_the_rgb_network(published, server, tmp_path):
    file = server()
    encoder = TinyEncoder().eval()
    load_encoder_weights(encoder, "inception_v4", "imagenet")
    grey = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(encoder(grey), published[0](grey.expand(-1, 3, -1, -1)))
    assert (tmp_path / "cache" / "hub" / "checkpoints" / file.name).is_file()
    file.unlink()  # the second time comes from the cache
    load_encoder_weights(TinyEncoder(), "inception_v4", "imagenet")


def test_download_with_a_wrong_hash_is_refused(server):
    server(digest="deadbeef")
    with pytest.raises(EncoderWeightsError, match="its SHA-256 differs"):
        load_encoder_weights(TinyEncoder(), "inception_v4", "imagenet")


def test_offline_failure_names_url_cache_and_the_ways_out(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise URLError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(EncoderWeightsError) as failure:
        FPN(encoder_weights="imagenet")
    message = str(failure.value)
    assert "http://data.lip6.fr/cadene/pretrainedmodels/inceptionv4-8e4777a0.pth" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "unreachable" in message
    assert "path as encoder_weights" in message and "'none'" in message


def test_imagenet_is_refused_where_no_weights_are_known():
    with pytest.raises(EncoderWeightsError, match=r"'imagenet' for encoder 'residual'.*inception_v4"):
        FPN(encoder="residual", encoder_weights="imagenet")


def test_none_leaves_the_encoder_as_it_is():
    encoder = TinyEncoder()
    before = encoder.features[0].weight.clone()
    load_encoder_weights(encoder, "inception_v4", "none")
    assert torch.equal(encoder.features[0].weight, before)


def test_path_of_a_whole_network_fills_the_encoder(tmp_path):
    torch.manual_seed(1)
    trained = FPN(encoder="residual")
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(2)
    network = FPN(encoder="residual", encoder_weights=str(tmp_path / "model.pt"))
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, trained.encoder.state_dict()[name]), name
    assert not torch.equal(network.decoder.p5.weight, trained.decoder.p5.weight)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(EncoderWeightsError, match=r"nowhere\.pt, which is no file"):
        load_encoder_weights(TinyEncoder(), "inception_v4", str(tmp_path / "nowhere.pt"))
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"not weights")
    with pytest.raises(EncoderWeightsError, match=r"damaged\.pt is damaged, or not written by torch"):
        load_encoder_weights(TinyEncoder(), "inception_v4", str(damaged))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(EncoderWeightsError, match=r"got a list in .*list\.pt"):
        load_encoder_weights(TinyEncoder(), "inception_v4", str(tmp_path / "list.pt"))
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(EncoderWeightsError, match=r"other\.pt, which does not fit.*features\.0\.weight"):
        load_encoder_weights(TinyEncoder(), "inception_v4", str(tmp_path / "other.pt"))


def test_only_one_channel_is_derived():
    rgb = torch.rand(4, 3, 3, 3)
    assert fit_input_channels(rgb, 3) is rgb
    torch.testing.assert_close(fit_input_channels(rgb, 1)[:, 0], rgb[:, 0] + rgb[:, 1] + rgb[:, 2])
    with pytest.raises(EncoderWeightsError, match="in_channels: got 2 for weights of 3 input channels"):
        fit_input_channels(rgb, 2)
