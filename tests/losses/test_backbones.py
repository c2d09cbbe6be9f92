"""Where weights of pretrained networks come from, and that they stay out of the way."""

import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import AlexNet_Weights, VGG16_Weights, VGG19_Weights, vgg16

from pitikit.losses import backbones
from pitikit.losses.backbones import (
    AbsentWeightsError,
    as_buffers,
    find_backbone,
    layer_indices,
    lpips_network,
    vgg_features,
)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No weights in any of the usual places."""
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return vgg16(weights=None).features


@pytest.fixture
def vgg_file(vgg, tmp_path):
    save_file(
        {f"features.{name}": value.half() for name, value in vgg.state_dict().items()}, tmp_path / "v.safetensors"
    )
    return tmp_path / "v.safetensors"


def test_layers_are_torchvisions():
    places = layer_indices("vgg19")
    assert [places[n] for n in ("conv1_1", "relu1_2", "conv2_2", "relu3_4", "conv5_1")] == [0, 3, 7, 17, 28]
    assert layer_indices("vgg16")["relu5_3"] == 29
    with pytest.raises(ValueError, match="network='vgg11': expected"):
        layer_indices("vgg11")


@torch.no_grad()
def test_the_network_is_torchvisions(vgg, vgg_file):
    image = torch.rand(1, 3, 32, 32)
    ours = vgg_features("vgg16", "relu3_3", vgg_file)
    torch.testing.assert_close(ours(image), vgg[:16](image), atol=1e-3, rtol=1e-2)
    assert not list(ours.parameters()) and not ours.state_dict() and not ours.training


def test_places(nowhere, monkeypatch, vgg_file):
    with pytest.raises(AbsentWeightsError, match=r"no weights of vgg16 are here.*PITIKIT_WEIGHTS.*weights='download'"):
        find_backbone("vgg16")
    with pytest.raises(AbsentWeightsError, match=r"weights='there.pth': no such file"):
        find_backbone("vgg16", "there.pth")
    hub = nowhere / "hub" / "checkpoints" / "vgg16-397923af.pth"
    hub.parent.mkdir(parents=True)
    hub.touch()
    assert find_backbone("vgg16") == find_backbone("vgg16", "download") == hub
    (nowhere / "weights").mkdir()
    (nowhere / "weights" / "vgg16_features_fp16.safetensors").touch()
    assert find_backbone("vgg16").resolve() == nowhere / "weights" / "vgg16_features_fp16.safetensors"
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(nowhere / "other"))
    (nowhere / "other").mkdir()
    (nowhere / "other" / "vgg16_features.safetensors").touch()
    assert find_backbone("vgg16").parent.name == "other"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server of the files in a folder, in place of torchvision's."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(backbones, "DOWNLOADS", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()


def test_a_download_is_compared_with_its_checksum(nowhere, site, vgg, monkeypatch):
    torch.save({f"features.{name}": value for name, value in vgg.state_dict().items()}, site / "made.pth")
    name = f"vgg16-{hashlib.sha256((site / 'made.pth').read_bytes()).hexdigest()[:8]}.pth"
    monkeypatch.setitem(backbones.FILES, "vgg16", name)
    with pytest.raises(AbsentWeightsError, match=f"{name} cannot be fetched: HTTP Error 404"):
        find_backbone("vgg16", "download")
    (site / "made.pth").rename(site / name)
    network = vgg_features("vgg16", "relu1_2", "download")
    assert torch.equal(network[0].weight, vgg[0].weight)
    assert [path.name for path in (nowhere / "hub" / "checkpoints").iterdir()] == [name]
    (site / name).unlink()
    assert find_backbone("vgg16", "download").parent == nowhere / "hub" / "checkpoints"
    (site / "vgg19-dcbb9e9d.pth").write_bytes(b"another file")
    with pytest.raises(AbsentWeightsError, match="invalid hash value"):
        find_backbone("vgg19", "download")
    assert not (nowhere / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth").exists()


def test_addresses_are_those_that_torchvision_publishes():
    for network, choices in (("vgg16", VGG16_Weights), ("vgg19", VGG19_Weights), ("alexnet", AlexNet_Weights)):
        assert backbones.DOWNLOADS + backbones.FILES[network] == choices.IMAGENET1K_V1.url


def test_foreign_files(tmp_path, vgg_file):
    with pytest.raises(ValueError, match="not vgg19 of torchvision: expected 32 tensors .* found 26"):
        vgg_features("vgg19", "conv2_2", vgg_file)
    (tmp_path / "cut.safetensors").write_bytes(vgg_file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        vgg_features("vgg16", "conv2_2", tmp_path / "cut.safetensors")
    torch.save(nn.Linear(2, 2), tmp_path / "code.pth")
    with pytest.raises(ValueError, match="refused, it holds more than tensors"):
        vgg_features("vgg16", "conv2_2", tmp_path / "code.pth")


def test_buffers_follow_and_are_not_saved():
    module = as_buffers(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    assert not list(module.parameters()) and not module.state_dict() and not module.training
    x = torch.rand(1, 3, 4, 4, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    assert module.to(torch.float64)[0].weight.dtype == torch.float64


def test_a_batch_norm_keeps_its_statistics_and_expects_nothing_of_a_state_that_is_loaded():
    norm = nn.BatchNorm2d(2)
    norm(torch.rand(4, 2, 3, 3) * 5)
    owner = nn.Module()
    x = torch.rand(1, 2, 3, 3)
    expected = norm.eval()(x)
    owner.network, owner.own = as_buffers(norm), nn.Linear(1, 1)
    torch.testing.assert_close(owner.network(x), expected)
    owner.load_state_dict(dict(owner.state_dict()))  # without the versions of its modules, as a file has it


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
@torch.no_grad()
def test_lpips_is_the_packages(vgg, vgg_file):
    import lpips

    torch.manual_seed(0)
    a, b = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    package = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False).eval()
    heads = torch.load(f"{lpips.__path__[0]}/weights/v0.1/vgg.pth", map_location="cpu", weights_only=True)
    package.load_state_dict(heads, strict=False)
    state = {name.partition(".")[2].partition(".")[2]: name for name in package.state_dict() if "net.slice" in name}
    for name, value in vgg.state_dict().items():
        package.get_parameter(state[name]).copy_(value.half().float())
    torch.testing.assert_close(lpips_network("vgg16", vgg_file)(a, b), package(a, b))


def test_the_shared_weights_fit(shared):
    features = vgg_features("vgg16", "relu5_3", shared / "weights" / "vgg16_features_fp16.safetensors")
    with torch.no_grad():
        assert features(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 2, 2)
