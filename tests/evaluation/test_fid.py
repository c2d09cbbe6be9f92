"""FID and KID: the arithmetic against plain numpy, the network on the weights that are there."""

import json
import socket

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import nn

from pitikit.data.images import write_png
from pitikit.evaluation import fid as module
from pitikit.evaluation.fid import FID, frechet_distance, kernel_distance
from pitikit.registry import METRICS


class Tiny(nn.Module):
    """Five features of an image, so that no weights are needed."""

    def forward(self, images):
        x = images.float() / 255
        return torch.cat(
            [x.mean((2, 3)), x.std((2, 3))[:, :1], (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))[:, None]], 1
        )


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No weights anywhere, and no network."""

    def refuse(*_, **__):
        raise AssertionError("something was about to be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(nowhere):
    """Builds the metric with the network replaced."""

    def build(**arguments):
        metric = METRICS.build(dict(type="FID", device="cpu", **arguments))
        metric.network = Tiny()
        return metric

    return build


def images(count, seed=0, side=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def samples(made, true=None):
    return [
        {"id": str(i), "pred": p, **({} if true is None else {"image": true[i] / 127.5 - 1})}
        for i, p in enumerate(made)
    ]


def frechet_by_numpy(a, b):
    """Heusel et al. 2017, eq. 6, by the matrix square root of S1^(1/2) S2 S1^(1/2)."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * cross


# Fewer rows than features is what small test sets are, and the covariances then have no full rank.
@pytest.mark.parametrize(("rows", "others", "features"), [(200, 150, 12), (9, 14, 40)])
def test_frechet_distance_is_that_of_numpy(rows, others, features):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(features, features))
    a = rng.normal(size=(rows, features)) @ mixing
    b = rng.normal(size=(others, features)) * 1.5 + 0.3
    found = frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert found == pytest.approx(frechet_by_numpy(a, b), rel=1e-6)
    if rows > features:
        root = linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.cov(a.T).trace() + np.cov(b.T).trace() - 2 * root.trace()
        assert found == pytest.approx(expected, rel=1e-6)
    statistics = torch.from_numpy(a.mean(0)), torch.from_numpy(np.cov(a, rowvar=False))
    assert frechet_distance(statistics, torch.from_numpy(b)) == pytest.approx(found, rel=1e-5)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(a)) == pytest.approx(0, abs=1e-5)


def kernel_by_hand(a, b):
    """Bińkowski et al. 2018, eq. 4, term by term."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = np.mean([kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j])
    return within_a + within_b - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_kernel_distance_by_hand(monkeypatch):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(12, 6)), rng.normal(size=(12, 6)) + 0.5
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    before = torch.get_rng_state()
    assert kernel_distance(first, second) == pytest.approx(kernel_by_hand(a, b))
    # In subsets: near it, the same at every call, and the random numbers of a training are not touched.
    monkeypatch.setattr(module, "KID_SUBSET", 8)
    found = kernel_distance(first, second)
    assert found == kernel_distance(first, second)
    assert found != kernel_distance(first, second, seed=1)
    assert found == pytest.approx(kernel_by_hand(a, b), rel=0.2)
    assert torch.equal(before, torch.get_rng_state())


def test_value_is_that_of_the_sets_in_whatever_batches(tiny):
    made, true = images(11, 1), images(11, 2)
    found = []
    for batch, per_call in ((16, 11), (3, 4), (1, 1)):
        metric = tiny(batch=batch)
        whole = samples(made, true)
        for start in range(0, 11, per_call):
            metric.process(None, whole[start : start + per_call])
        found.append(metric.evaluate(11))
    features = Tiny()(true).double().numpy(), Tiny()(made).double().numpy()
    assert found[0]["FID"] == pytest.approx(frechet_by_numpy(*features), rel=1e-4)
    assert found[0]["KID_x1000"] == pytest.approx(1000 * kernel_by_hand(*features), rel=1e-4)
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)
    assert metric.facts["images"] == metric.facts["reference_images"] == 11
    assert metric.notes.keys() == {"FID"} and "of 11 images" in metric.notes["FID"]


def test_features_are_kept_and_no_images(tiny):
    metric = tiny()
    metric.process(None, samples(images(3), images(3)))
    assert [row.shape for row in metric.results] == [(2, 5)] * 3


def test_only_the_first_so_many_count(tiny):
    # What a process pads its share with, mmengine cuts off again.
    metric = tiny()
    metric.process(None, samples(images(6, 1), images(6, 2)))
    five = metric.evaluate(5)
    metric.process(None, samples(images(6, 1)[:5], images(6, 2)[:5]))
    assert five == metric.evaluate(5)


def test_absent_weights_leave_the_columns_empty(nowhere):
    metric = METRICS.build(dict(type="FID", weights="not/there.safetensors"))
    metric.process(None, samples(images(2), images(2)))
    assert metric.evaluate(2) == {"FID": None, "KID_x1000": None}
    assert "not/there.safetensors" in metric.notes["FID"] and "PITIKIT_WEIGHTS" in metric.notes["FID"]


def test_too_few_images_have_a_reason(tiny):
    metric = tiny()
    metric.process(None, samples(images(3)))
    assert metric.evaluate(3) == {"FID": None, "KID_x1000": None}
    assert "ground truth" in metric.notes["FID"]
    metric.process(None, samples(images(1), images(1)))
    assert metric.evaluate(1)["FID"] is None and "1 samples" in metric.notes["FID"]


def test_sizes_that_differ_are_named(tiny):
    with pytest.raises(ValueError, match=r"\(3, 16, 16\).*\(3, 8, 8\)"):
        tiny().process(None, samples(images(1), images(1, side=8)))


def test_against_a_folder_a_dataset_or_statistics(tiny, nowhere, monkeypatch):
    true, made = images(7, 3), images(9, 4)
    for index, image in enumerate(true):
        write_png(nowhere / "true" / f"{index}.png", image)
    expected = frechet_by_numpy(Tiny()(true).numpy(), Tiny()(made).numpy())

    def value(reference):
        metric = tiny(reference=reference)
        metric.process(None, samples(made, images(9, 5)))
        return metric.evaluate(9)

    from_folder = value(str(nowhere / "true"))
    assert from_folder["FID"] == pytest.approx(expected, rel=1e-4)
    assert from_folder["KID_x1000"] is not None
    pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
    config = dict(type="PairedImageDataset", root=str(nowhere / "true"), image="{id}.png", conditions={})
    assert value({**config, "pipeline": pipeline}) == from_folder

    monkeypatch.setattr(module, "FEATURES", 5)
    features = Tiny()(true).double().numpy()
    np.savez(nowhere / "statistics.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    found = value("statistics.npz")
    assert found["FID"] == pytest.approx(expected, rel=1e-4) and found["KID_x1000"] is None

    np.savez(nowhere / "other.npz", mu=np.zeros(4), sigma=np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"other\.npz.*\(4,\)"):
        value("other.npz")
    (nowhere / "text.npz").write_text("nothing")
    with pytest.raises(ValueError, match=r"text\.npz"):
        value("text.npz")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        value("nowhere")


def black(side=16):
    return {"id": "0", "pred": torch.zeros(3, side, side, dtype=torch.uint8)}


def test_a_folder_is_read_whole(tiny, nowhere):
    """Every format, in any case, in linked subfolders too; the rest is counted in a note."""
    folder, true, made = nowhere / "true", images(5, 3), images(9, 4)
    for index, name in enumerate(("0.png", "1.PNG", "2.bmp", "a/2.png", "b/2.tif")):
        write_png(folder / "new.png", true[index])
        (folder / name).parent.mkdir(exist_ok=True)
        Image.open(folder / "new.png").save(folder / "new.tif")
        Image.open(folder / "new.png").save(folder / "new.bmp")
        (folder / f"new{(folder / name).suffix.lower()}").rename(folder / name)
    (folder / "b").rename(nowhere / "elsewhere")
    (folder / "b").symlink_to(nowhere / "elsewhere")
    for rest in folder.glob("new.*"):
        rest.unlink()
    (folder / "._0.png").touch()
    (folder / "notes.txt").touch()
    metric = tiny(reference=str(folder))
    metric.process(None, samples(made))
    expected = frechet_by_numpy(Tiny()(true).numpy(), Tiny()(made).numpy())
    assert metric.evaluate(9)["FID"] == pytest.approx(expected, rel=1e-4)
    assert metric.facts["reference_images"] == 5
    assert "2 files passed over: 1 hidden, " in metric.notes["FID"] and "notes.txt" in metric.notes["FID"]


def test_an_unusable_reference_is_an_error_before_the_first_image(tiny, nowhere):
    (nowhere / "broken").mkdir()
    (nowhere / "broken" / "0.png").write_bytes(b"nothing")
    write_png(nowhere / "broken" / "1.png", images(1)[0])
    write_png(nowhere / "one" / "1.png", images(1)[0])
    (nowhere / "empty").mkdir()
    (nowhere / "text.npz").write_text("nothing")
    for reference, words in {
        "broken": r"0\.png: found a file that is no image",
        "one": "one: found 1 images; expected 2 or more",
        "empty": "empty: found 0 images",
        "text.npz": r"text\.npz: expected an \.npz",
    }.items():
        with pytest.raises(ValueError, match=words):
            tiny(reference=reference).prepare(black())


def test_a_reference_of_another_size_is_in_the_notes(tiny, nowhere, capsys):
    for index, image in enumerate(images(3, side=32)):
        write_png(nowhere / "true" / f"{index}.png", image)
    write_png(nowhere / "true" / "wide.png", images(1)[0, :, :8])
    metric = tiny(reference=str(nowhere / "true"))
    metric.prepare(black())
    metric.process(None, samples(images(3)))
    metric.evaluate(3)
    words = "4 of 4 reference images are of 32x32, 16x8, the images made of 16x16"
    assert words in metric.notes["FID"] and "of 3 images" in metric.notes["FID"]
    same = tiny(reference=str(nowhere / "true"))
    same.process(None, samples(images(3, side=32)))
    same.evaluate(3)
    assert "1 of 4 reference images are of 16x8, the images made of 32x32" in same.notes["FID"]


def test_no_truth_is_known_before(tiny):
    assert "ground truth" in tiny().lacking(black()) and not tiny().lacking({**black(), "image": images(1)[0]})
    with pytest.raises(ValueError, match=r"\(3, 16, 16\).*\(3, 8, 8\)"):
        tiny().prepare({**black(), "image": images(1, side=8)[0]})


@pytest.mark.parametrize("damage", ["foreign", "truncated"])
def test_a_wrong_file_is_an_error(damage, nowhere):
    from safetensors.torch import save_file

    path = nowhere / "wrong.safetensors"
    save_file({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3)}, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"wrong\.safetensors"):
        METRICS.build(dict(type="FID", weights=str(path)))


def test_real_network_separates_sets_by_their_noise(inception, shared):
    """A set against itself is at 0; the more noise, the farther; and batches change nothing."""
    folder = shared / "data" / "camvid256" / "val" / "images"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    paths = sorted(folder.glob("*.jpg"))[:6]
    true = torch.stack(
        [torch.from_numpy(np.array(Image.open(path).resize((64, 64)))).permute(2, 0, 1) for path in paths]
    )
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    sets = [(true + spread * noise).round().clamp(0, 255).byte() for spread in (0, 10, 60)]
    metric = FID(weights=inception, batch=4, device="cpu")
    features = [metric.features(list(made)) for made in sets]
    found = []
    for made in features:
        metric.results = [np.stack(pair) for pair in zip(made, features[0], strict=True)]
        found.append(metric.evaluate(6))
    assert found[0]["FID"] == pytest.approx(0, abs=1e-3)
    assert 1 < found[1]["FID"] < 0.7 * found[2]["FID"]
    assert found[0]["KID_x1000"] < found[1]["KID_x1000"] < found[2]["KID_x1000"]
    assert json.dumps(metric.facts) and metric.facts["images"] == 6 and len(metric.facts["weights_sha256"]) == 64
    one_by_one = FID(weights=inception, batch=1, device="cpu").features(list(sets[2][:2]))
    assert np.allclose(one_by_one, features[2][:2], atol=1e-4)
