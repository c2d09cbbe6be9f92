"""LPIPS: the backbone is read, never fetched, and the distance is that of the paper."""

import socket
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from pitikit.evaluation import lpips as module
from pitikit.registry import METRICS
from pitikit.weights import AbsentWeightsError

SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for index, (out, into, side) in SHAPES.items():
        scale = (into * side * side) ** -0.5
        weight = torch.randn(out, into, side, side, generator=generator) * scale
        state[f"features.{index}.weight"] = weight
        state[f"features.{index}.bias"] = torch.randn(out, generator=generator) * 0.1
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / module.FILE_NAME
    save_file(features(), path)
    return path


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No weights anywhere, and no network."""

    def refuse(*_, **__):
        raise AssertionError("something was about to be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(module.torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pair(seed=0, side=64):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
    return {"id": "a", "pred": pred, "image": torch.rand(3, side, side, generator=generator) * 2 - 1}


def by_hand(state, first, second):
    """The distance of Zhang et al. 2018, eq. 1, without the lpips package's network."""
    import lpips

    heads = torch.load(
        Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth",
        map_location="cpu",
        weights_only=True,
    )
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    total = 0.0
    both = torch.stack([(first - shift) / scale, (second - shift) / scale])
    for level, index in enumerate(SHAPES):
        if index in (3, 6):
            both = F.max_pool2d(both, 3, 2)
        stride, padding = (4, 2) if index == 0 else (1, SHAPES[index][2] // 2)
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        both = F.conv2d(both, weight, bias, stride, padding).relu()
        unit = both / (both.square().sum(1, keepdim=True).sqrt() + 1e-10)
        difference = (unit[0] - unit[1]).square()
        total += float((heads[f"lin{level}.model.1.weight"][0] * difference).sum(0).mean())
    return total


def test_distance_is_the_papers(weights, nowhere):
    metric = METRICS.build(dict(type="LPIPS", weights=str(weights)))
    samples = [pair(1), pair(2)]
    metric.process(None, samples)
    expected = [by_hand(features(), s["pred"] / 127.5 - 1, s["image"]) for s in samples]
    assert metric.evaluate(2) == {"LPIPS": pytest.approx(sum(expected) / 2, rel=1e-4)}
    assert len(metric.facts["weights_sha256"]) == 64

    same = pair(3)
    metric.process(None, [{**same, "image": same["pred"] / 127.5 - 1}])
    assert metric.evaluate(1) == {"LPIPS": pytest.approx(0.0, abs=1e-7)}


def test_found_in_the_folders(weights, nowhere, monkeypatch):
    assert module.find_alexnet() is None
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(weights.parent))
    assert module.find_alexnet() == weights
    monkeypatch.delenv("PITIKIT_WEIGHTS")
    folder = nowhere / "weights"
    folder.mkdir()
    (folder / module.FILE_NAME).write_bytes(weights.read_bytes())
    assert module.find_alexnet().resolve() == (folder / module.FILE_NAME).resolve()
    hub = nowhere / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / "alexnet-owt-7be5be79.pth").touch()
    assert module.find_alexnet().suffix == ".safetensors"
    (folder / module.FILE_NAME).unlink()
    assert module.find_alexnet().suffix == ".pth"


def test_absent_weights_leave_the_column_empty(nowhere):
    metric = METRICS.build(dict(type="LPIPS", weights="not/there.safetensors"))
    metric.process(None, [pair()])
    assert metric.evaluate(1) == {"LPIPS": None}
    assert "weights='not/there.safetensors'; looked for" in metric.notes["LPIPS"]
    assert "PITIKIT_WEIGHTS" in metric.notes["LPIPS"]


def test_too_small_images_have_a_reason(weights, nowhere):
    metric = METRICS.build(dict(type="LPIPS", weights=str(weights)))
    metric.process(None, [pair(side=module.SMALLEST - 1)])
    assert metric.evaluate(1) == {"LPIPS": None}
    assert str(module.SMALLEST) in metric.notes["LPIPS"]
    metric.process(None, [pair(side=module.SMALLEST)])
    assert metric.evaluate(1)["LPIPS"] > 0


def test_torchvisions_own_file_is_taken(nowhere):
    path = nowhere / "alexnet.pth"
    torch.save({**features(), "classifier.1.weight": torch.zeros(2, 2)}, path)
    network = module.build_lpips(path)
    assert torch.equal(network.net.slice2[1].weight, features()["features.3.weight"])


@pytest.mark.parametrize("damage", ["foreign", "shape", "truncated"])
def test_a_wrong_file_is_an_error(damage, weights, nowhere):
    path = nowhere / "wrong.safetensors"
    if damage == "truncated":
        path.write_bytes(weights.read_bytes()[:1000])
    else:
        state = features()
        if damage == "foreign":
            del state["features.8.bias"]
        else:
            state["features.8.bias"] = torch.zeros(7)
        save_file(state, path)
    with pytest.raises(ValueError, match=r"wrong\.safetensors"):
        METRICS.build(dict(type="LPIPS", weights=str(path)))


def test_real_weights_prefer_the_nearer_image(shared):
    path = shared / "weights" / module.FILE_NAME
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    assert set(features()) == set(load_file(path))
    metric = METRICS.build(dict(type="LPIPS", weights=str(path)))
    column = torch.linspace(-1, 1, 64)
    truth = (column[:, None] * column[None]).expand(3, 64, 64)
    found = []
    for spread in (0.05, 0.5):
        noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0)) * spread
        pred = ((truth + noise).clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)
        metric.process(None, [{"id": "a", "pred": pred, "image": truth}])
        found.append(metric.evaluate(1)["LPIPS"])
    assert 0 < found[0] < 0.5 * found[1]


def test_values_are_those_of_the_package(weights, nowhere):
    import lpips

    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = load_file(weights)
    names = {name: "features." + ".".join(name.split(".")[1:]) for name in theirs.net.state_dict()}
    theirs.net.load_state_dict({name: state[own] for name, own in names.items()})
    metric = METRICS.build(dict(type="LPIPS", weights=str(weights)))
    samples = [pair(seed) for seed in range(3)]
    metric.process(None, samples)
    with torch.no_grad():
        expected = [float(theirs(each["pred"][None] / 127.5 - 1, each["image"][None])) for each in samples]
    assert metric.evaluate(3)["LPIPS"] == pytest.approx(sum(expected) / 3, rel=1e-6)


def test_a_download_is_that_of_torchvision(nowhere, monkeypatch):
    monkeypatch.setattr(module, "find_backbone", lambda network, given: f"{network} by {given}")
    assert module.find_alexnet("download") == "alexnet by download"
    (nowhere / "weights").mkdir()
    (nowhere / "weights" / module.FILE_NAME).touch()
    assert module.find_alexnet("download").name == module.FILE_NAME


def test_a_download_that_fails_leaves_the_column_empty(nowhere, monkeypatch):
    def fail(network, given):
        raise AbsentWeightsError("https://somewhere: no connection")

    monkeypatch.setattr(module, "find_backbone", fail)
    metric = METRICS.build(dict(type="LPIPS", weights="download"))
    metric.process(None, [pair()])
    assert metric.evaluate(1) == {"LPIPS": None} and metric.absent == "https://somewhere: no connection"
