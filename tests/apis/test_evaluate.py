"""The test of a model: the same images whatever the batches, resumed, measured from the files."""

import json
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import DefaultScope
from PIL import Image

from pitikit.apis import evaluate as module
from pitikit.apis import tested_images
from pitikit.apis.evaluate import image_path, read_image
from pitikit.apis.protocol import ProtocolError
from pitikit.config import ConfigError
from pitikit.data.images import write_png
from pitikit.diffusion.noise import NoiseSource
from pitikit.evaluation import set_metric
from pitikit.evaluation.extractors import Extractor
from pitikit.evaluation.preparation import MissingWeightsError
from pitikit.models import translator
from pitikit.registry import MODELS
from pitikit.weights import WeightsError, save_weights

# The config has a metric without weights.
evaluate = partial(module.evaluate, skip_missing=True)

CONFIG = """
model = dict(
    type="DenoisingTranslator",
    denoiser=dict(
        encoder=dict(type="SemanticEncoder", in_channels=3, input_size=32, channels=[8] * 5, width=32,
                     layers=1, heads=2),
        decoder=dict(type="GlideUNet", image_size=16, channels=32, multipliers=[1], res_blocks=1,
                     attention_sizes=[16], head_width=32, token_width=32),
    ),
    sampler=dict(type="DDPMSampler", steps=3, guidance=dict(type="CFG", scale=1.5)),
)
test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="SceneWorld", length=7, start=40, size=32, members=["image", "mask"], pipeline=[
        dict(type="LoadImage"), dict(type="LoadMask", num_classes=22),
        dict(type="ResizePair", size=32, image_size=16), dict(type="PackInputs", keep=["label"])]),
)
test_evaluator = [dict(type="PSNR"), dict(type="LPIPS", weights="nowhere")]
"""
IDS = [f"scene_{index:06d}" for index in range(40, 47)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small lose more to a second thread than they gain, on a busy machine all their time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Config and weights of a model whose every part does something."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tiny.py"
    config.write_text(CONFIG)
    with DefaultScope.overwrite_default_scope("pitikit"), torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(config).model)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: value + 0.05 * torch.randn(value.shape, generator=generator)
        for name, value in model.denoiser.state_dict().items()
    }
    return config, save_weights(folder / "tiny.safetensors", state)


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """The report of an unbroken test."""
    return evaluate(*trained, out=tmp_path_factory.mktemp("whole") / "out", progress=False)


def images(folder):
    return {p.stem: read_image(p) for p in sorted((folder / "images").glob("*.png"))}


def test_what_is_written(whole, trained):
    made = images(whole.folder)
    assert list(made) == IDS
    assert all(p.shape == (3, 16, 16) and p.dtype == torch.uint8 for p in made.values())
    assert len({p.numpy().tobytes() for p in made.values()}) == 7
    assert cv2.imread(str(whole.folder / "grid.png")).shape[0] > 7 * 128
    assert not [p for p in whole.folder.rglob("*") if p.name.endswith(".tmp")]

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = (whole.folder / "metrics.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    low, high = found["intervals"]["PSNR"]
    assert low < found["metrics"]["PSNR"] < high and "95%" in found["interval_method"]
    assert f"[{low:.4f}, {high:.4f}]" in whole.table() and "LPIPS" not in found["intervals"]
    assert found["metrics"]["LPIPS"] is None and "alexnet" in found["notes"]["LPIPS"]
    stated = found["protocol"]
    assert len(stated["checkpoint"]["sha256"]) == 64
    assert stated["checkpoint"]["path"] == str(trained[1]) and stated["config"] == str(trained[0])
    assert stated["sampler"]["type"] == "DDPMSampler" and stated["steps"] == 3
    assert stated["guidance"] == [{"type": "CFG", "scale": 1.5}]
    assert stated["seed"] == 0 and stated["resolution"] == 16 and stated["count"] == 7
    # Three steps, with the condition and without.
    assert found["network_calls"] == whole.network_calls == 6 and found["seconds_per_image"] > 0
    assert stated["dataset"]["type"] == "SceneWorld"
    assert stated["torch"] == torch.__version__ and stated["pitikit"]
    assert stated == json.loads((whole.folder / "protocol.json").read_text())


def test_metrics_are_those_of_the_files(whole):
    from pitikit.data.transforms import resize_image
    from pitikit.scenes import render_scene

    ratios = []
    for index, name in enumerate(IDS, start=40):
        truth = resize_image(render_scene(0, index, 32).image, 16).astype(float)
        made = cv2.imread(str(whole.folder / "images" / f"{name}.png"))[:, :, ::-1].astype(float)
        ratios.append(10 * np.log10(255**2 / np.mean((truth - made) ** 2)))
    assert whole.metrics["PSNR"] == pytest.approx(np.mean(ratios), abs=1e-6)
    assert whole.metrics["LPIPS"] is None
    table = whole.table()
    assert f"{np.mean(ratios):.4f}" in table and "PITIKIT_WEIGHTS" in table


def test_an_image_does_not_depend_on_the_batch(trained, tmp_path, monkeypatch):
    drawn, seen = {}, {}

    class Recorded(NoiseSource):
        def __init__(self, seeds, device="cpu"):
            super().__init__(seeds, device)
            self.seeds = list(seeds)

        def randn(self, shape):
            rows = super().randn(shape)
            for seed, row in zip(self.seeds, rows, strict=True):
                drawn.setdefault(seed, []).append(row)
            return rows

    monkeypatch.setattr(translator, "NoiseSource", Recorded)
    for size in (1, 3, 4):
        drawn.clear()
        report = evaluate(*trained, out=tmp_path / str(size), batch_size=size, progress=False)
        seen[size] = (dict(drawn), images(report.folder))
    for size in (1, 3):
        noise, made = seen[size]
        for seed, rows in seen[4][0].items():
            assert len(rows) == 3
            assert all(torch.equal(a, b) for a, b in zip(rows, noise[seed], strict=True))
        for name, image in seen[4][1].items():
            assert (image.int() - made[name].int()).abs().max() <= 1


def test_an_interrupted_test_goes_on(trained, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    calls, save = [], Image.Image.save

    def broken_save(image, path, *arguments, **options):
        calls.append(path)
        if len(calls) == 4:
            Path(path).write_bytes(b"half an image")
            raise KeyboardInterrupt
        return save(image, path, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", broken_save)
    with pytest.raises(KeyboardInterrupt):
        evaluate(*trained, out=out, batch_size=2, progress=False)
    assert len(images(out)) == 3 and not (out / "metrics.json").exists()
    monkeypatch.setattr(Image.Image, "save", save)
    (out / "images" / ".scene_000043.png.99999999.tmp").write_bytes(b"left by kill -9")
    (out / "images" / f"{IDS[1]}.png").write_bytes(b"damaged")
    before = {p.name: p.stat().st_mtime_ns for p in (out / "images").glob("*.png")}
    report = evaluate(*trained, out=out, batch_size=2, progress=False)
    assert (report.made, report.reused) == (5, 2)
    after = {p.name: p.stat().st_mtime_ns for p in (out / "images").glob("*.png")}
    assert after[f"{IDS[0]}.png"] == before[f"{IDS[0]}.png"]
    assert not list((out / "images").glob(".*"))
    for name, image in images(whole.folder).items():
        assert (image.int() - images(out)[name].int()).abs().max() <= 1
    assert report.metrics["PSNR"] == pytest.approx(whole.metrics["PSNR"], abs=0.02)


def test_the_first_few_and_then_all(trained, whole, tmp_path):
    first = evaluate(*trained, out=tmp_path, count=3, progress=False)
    assert list(images(tmp_path)) == IDS[:3] and first.protocol["count"] == 3
    rest = evaluate(*trained, out=tmp_path, count=100, progress=False)
    assert (rest.made, rest.reused, rest.protocol["count"]) == (4, 3, 7)
    assert json.loads((tmp_path / "metrics.json").read_text())["protocol"]["count"] == 7


def test_a_damaged_former_result_is_replaced(trained, tmp_path):
    evaluate(*trained, out=tmp_path, count=1, progress=False)
    for text in ("{", "[]"):
        (tmp_path / "metrics.json").write_text(text)
        report = evaluate(*trained, out=tmp_path, count=1, progress=False)
        assert report.reused == 1 and report.network_calls is None
        assert json.loads((tmp_path / "metrics.json").read_text())["metrics"] == report.metrics


def test_another_protocol_is_refused(trained, tmp_path):
    evaluate(*trained, out=tmp_path, count=1, progress=False)
    old = images(tmp_path)
    with pytest.raises(ProtocolError, match="seed: 0 there, 5 now"):
        evaluate(*trained, out=tmp_path, count=1, seed=5, progress=False)
    with pytest.raises(ProtocolError, match="steps: 3 there, 2 now"):
        evaluate(*trained, out=tmp_path, options={"model.sampler.steps": 2}, progress=False)
    kept = tmp_path / "mine.txt"
    kept.touch()
    report = evaluate(*trained, out=tmp_path, count=1, seed=5, overwrite=True, progress=False)
    assert report.protocol["seed"] == 5 and kept.exists()
    assert not torch.equal(old[IDS[0]], images(tmp_path)[IDS[0]])


def test_images_of_other_inputs_are_made_again(trained, tmp_path):
    """Files of a set may change below the same config; the truth alone changes no image."""
    cfg, checkpoint = trained
    root = tmp_path / "set"
    for name, shade in (("a", 40), ("b", 90)):
        write_png(root / "image" / f"{name}.png", np.full((32, 32, 3), shade, np.uint8))
        cv2.imwrite(
            str(write_png(root / "mask" / f"{name}.png", np.zeros((32, 32, 1), np.uint8))), np.full((32, 32), 3)
        )
    paired = dict(
        type="PairedImageDataset", root=str(root), image="image/{id}.png", conditions=dict(mask="mask/{id}.png")
    )
    config = Config.fromfile(cfg)
    config.test_dataloader.dataset = dict(paired, pipeline=config.test_dataloader.dataset.pipeline)
    path = tmp_path / "paired.py"
    config.dump(path)
    run = partial(evaluate, path, checkpoint, tmp_path / "out")
    assert (run().made, run().made) == (2, 0)
    write_png(root / "image" / "a.png", np.full((32, 32, 3), 200, np.uint8))
    assert run().made == 0
    before = {name: (tmp_path / "out" / "images" / f"{name}.png").read_bytes() for name in "ab"}
    cv2.imwrite(str(root / "mask" / "b.png"), np.full((32, 32), 7))
    run()
    after = {name: (tmp_path / "out" / "images" / f"{name}.png").read_bytes() for name in "ab"}
    assert before["a"] == after["a"] and before["b"] != after["b"]
    fresh = evaluate(path, checkpoint, tmp_path / "fresh")
    assert (fresh.folder / "images" / "b.png").read_bytes() == after["b"]


def test_a_test_that_made_no_image_leaves_nothing_of_its_protocol(trained, tmp_path, monkeypatch):
    cfg, checkpoint = trained
    out = tmp_path / "out"

    def fail(*arguments, **options):
        raise ValueError("a fault in the middle")

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="in the middle"):
        patch.setattr(module, "generate", fail)
        evaluate(cfg, checkpoint, out, count=2)
    # Mended, and with another protocol.
    assert evaluate(cfg, checkpoint, out, seed=9, count=2).made == 2


def test_a_metric_that_cannot_be_measured_leaves_the_former_test(trained, tmp_path, monkeypatch):
    former = evaluate(*trained, tmp_path / "out", count=2)

    def refuse(*arguments):
        raise ValueError("reference.npz: expected arrays")

    monkeypatch.setattr(module, "prepare_metrics", refuse)
    with pytest.raises(ValueError, match="expected arrays"):
        evaluate(*trained, former.folder, count=2, overwrite=True)
    assert (former.folder / "metrics.json").exists() and len(list((former.folder / "images").iterdir())) == 2


def test_a_folder_of_something_else_is_refused(trained, tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ProtocolError, match=r"no protocol\.json"):
        evaluate(*trained, out=tmp_path, count=1, progress=False)
    with pytest.raises(ProtocolError, match="is a file"):
        evaluate(*trained, out=tmp_path / "letter.txt", count=1, progress=False)
    # A dataset's own images, say: nothing there was made by a test, and --overwrite removes none.
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "photo.png").touch()
    with pytest.raises(ProtocolError, match=r"no protocol\.json\), expected an empty folder; give another --out"):
        evaluate(*trained, out=tmp_path, count=1, overwrite=True, progress=False)
    assert (tmp_path / "images" / "photo.png").exists()


def test_the_ema_of_a_training_checkpoint(trained, whole, tmp_path):
    config, weights = trained
    from safetensors.torch import load_file

    average = load_file(weights)
    state = {f"denoiser.{name}": torch.zeros_like(value) for name, value in average.items()}
    torch.save({"state_dict": state, "ema": average, "meta": {}}, tmp_path / "iter_1.pth")
    report = evaluate(config, tmp_path / "iter_1.pth", out=tmp_path / "o", count=4, progress=False)
    assert torch.equal(images(report.folder)[IDS[0]], images(whole.folder)[IDS[0]])


def test_wrong_arguments(trained, tmp_path):
    config, weights = trained
    with pytest.raises(ValueError, match="count=0"):
        evaluate(config, weights, out=tmp_path / "o", count=0)
    with pytest.raises(WeightsError, match=r"no\.pth"):
        evaluate(config, tmp_path / "no.pth", out=tmp_path / "o")
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = [{str(config)!r}]\ntest_dataloader = None")
    with pytest.raises(ConfigError, match="test_dataloader"):
        evaluate(other, weights, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_second_value_is_refused_and_an_idle_one_warned_of(trained, tmp_path):
    for given, option in ((dict(seed=3), "model.seed"), (dict(batch_size=3), "test_dataloader.batch_size")):
        with pytest.raises(ConfigError, match=rf"=3: got {option}=2 in the options"):
            evaluate(*trained, out=tmp_path / "o", options={option: 2}, **given)
    with pytest.warns(UserWarning, match=r"randomness\.seed: ignored, a test reads model"), pytest.raises(WeightsError):
        evaluate(trained[0], "absent.pth", out=tmp_path / "o", options={"randomness.seed": 2})


def test_two_metrics_of_one_class(trained, tmp_path):
    config, weights = trained
    named = [dict(type="PSNR"), dict(type="FID", prefix="a"), dict(type="FID", prefix="b", weights="/absent.pth")]
    options = {"test_evaluator": named}
    report = evaluate(config, weights, out=tmp_path / "o", count=2, options=options, progress=False)
    assert {"PSNR", "a/FID", "b/FID", "b/KID_x1000"} <= report.metrics.keys()
    assert "/absent.pth" in report.notes["b/FID"] and "FID" not in report.notes
    if report.metrics["a/FID"] is not None:
        assert "\na/FID: of 2 images" in report.table()
    assert "\nno b/FID, b/KID_x1000: " in report.table()
    measured = json.loads((tmp_path / "o" / "metrics.json").read_text())["measured_with"]
    assert measured.keys() == {"PSNR", "a/FID", "b/FID"}
    with pytest.raises(ConfigError, match="test_evaluator: PSNR comes twice; give one of them prefix"):
        evaluate(config, weights, out=tmp_path / "p", options={"test_evaluator": [named[0], named[0]]})
    assert not (tmp_path / "p").exists()


def test_the_loader_gives_every_image_once(trained, whole, tmp_path):
    config, weights = trained
    # One more than what a batch of the loader takes, and what torch refuses without workers.
    options = {"test_dataloader.drop_last": True, "test_dataloader.persistent_workers": True}
    found = evaluate(config, weights, out=tmp_path, count=3, batch_size=2, options=options, progress=False)
    assert (found.made, found.reused) == (3, 0) and len(images(tmp_path)) == 3


def test_the_grid_has_a_few_rows(trained, tmp_path, monkeypatch):
    rows = []

    def write_grid(path, shown, titles):
        rows.extend(shown)
        path.touch()

    monkeypatch.setattr(tested_images, "GRID_ROWS", 3)
    monkeypatch.setattr(module, "write_grid", write_grid)
    evaluate(*trained, out=tmp_path, count=5, batch_size=2, progress=False)
    assert len(rows) == 3


def test_ids_name_files_below_the_folder(tmp_path):
    assert image_path(tmp_path, "a/b") == tmp_path / "images" / "a" / "b.png"
    for name in ("../a", "/a", "a/../../b", ""):
        with pytest.raises(ValueError, match="cannot be the name"):
            image_path(tmp_path, name)


def test_two_samples_of_one_id_are_refused(trained, tmp_path):
    dataset = Config.fromfile(trained[0]).test_dataloader.dataset.to_dict()
    twice = dict(type="MixedDataset", datasets=[dataset, dataset], _delete_=True)
    with pytest.raises(ValueError, match=f"id '{IDS[0]}': two samples of the test set have it"):
        evaluate(*trained, out=tmp_path, options={"test_dataloader.dataset": twice}, progress=False)


def test_conditions_that_carry_nothing_are_warned_of(trained, tmp_path):
    config, weights = trained
    unlabelled = {"test_dataloader.dataset.pipeline.1.ignore": list(range(22)), "test_evaluator": [dict(type="PSNR")]}
    with pytest.warns(UserWarning, match="item 'scene_000040': found mask with no label in it") as caught:
        evaluate(config, weights, tmp_path, options=unlabelled, progress=False)
    assert len(caught) == 1


def test_images_made_elsewhere_have_the_same_table(trained, whole, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    for index, (name, image) in enumerate(images(whole.folder).items()):
        suffix = (".png", ".bmp", ".TIFF")[index % 3]
        cv2.imwrite(str(folder / f"{name}{suffix}"), image.permute(1, 2, 0).numpy()[:, :, ::-1])
    (folder / "notes.txt").touch()
    report = evaluate(trained[0], out=tmp_path / "o", images=folder, batch_size=2, progress=False)
    assert report.metrics == whole.metrics and report.notes == whole.notes
    assert report.table().splitlines()[:-1] == whole.table().splitlines()[:-1]
    assert report.table().splitlines()[-1].startswith(f"7 images of {folder} measured")
    found = json.loads((tmp_path / "o" / "metrics.json").read_text())["protocol"]
    assert found["images"]["folder"] == str(folder) and len(found["images"]["sha256"]) == 64
    assert "checkpoint" not in found and (found["count"], found["resolution"]) == (7, 16)
    assert (tmp_path / "o" / "grid.png").is_file() and not (tmp_path / "o" / "images").exists()
    # Moved, they are the same; changed, they are not.
    moved = folder.rename(tmp_path / "moved")
    evaluate(trained[0], out=tmp_path / "o", images=moved, progress=False)
    (moved / f"{IDS[0]}.png").write_bytes((whole.folder / "images" / f"{IDS[1]}.png").read_bytes())
    with pytest.raises(ProtocolError, match=r"images\.sha256"):
        evaluate(trained[0], out=tmp_path / "o", images=moved, progress=False)
    # The folder of a test has them below it; a part of the test set needs only its own.
    few = evaluate(trained[0], out=tmp_path / "few", images=whole.folder, count=2, progress=False)
    assert few.protocol["images"]["folder"] == str(whole.folder / "images") and few.reused == 2


def test_images_that_do_not_fit_are_refused_before_anything_is_written(trained, whole, tmp_path):
    def refused(folder, words, **options):
        with pytest.raises(ValueError, match=words):
            evaluate(trained[0], out=tmp_path / "o", images=folder, progress=False, **options)
        assert not (tmp_path / "o").exists()

    def copied(name):
        shutil.copytree(whole.folder / "images", tmp_path / name)
        return tmp_path / name

    refused(tmp_path / "absent", "no such folder")
    missing = copied("missing")
    (missing / f"{IDS[2]}.png").rename(missing / "scene_42.png")
    refused(missing, rf"no image of 1 of 7: {IDS[2]} \(did you mean.*; images of no item: 1 of 7: scene_42")
    twice = copied("twice")
    shutil.copy(twice / f"{IDS[0]}.png", twice / f"{IDS[0]}.bmp")
    refused(twice, f"several files of 1 of 7: {IDS[0]}")
    large = copied("large")
    cv2.imwrite(str(large / f"{IDS[6]}.png"), np.zeros((24, 32, 3), np.uint8))
    refused(large, rf"{IDS[6]}\.png: got 32x24 pixels, expected 16x16, that of the true images")
    broken = copied("broken")
    (broken / f"{IDS[6]}.png").write_bytes(b"no image")
    refused(broken, f"{IDS[6]}")
    refused(copied("seeded"), "seed=3: expected none", seed=3)
    with pytest.raises(ValueError, match="checkpoint, images: got both"):
        evaluate(*trained, images=missing)
    with pytest.raises(ValueError, match="checkpoint, images: got neither"):
        evaluate(trained[0])


def test_images_to_measure_are_never_removed(trained, whole, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "o")
    for place in (tmp_path / "o", tmp_path / "o" / "images"):
        with pytest.raises(ValueError, match="holds the images to measure, expected another folder"):
            evaluate(trained[0], out=tmp_path / "o", images=place, overwrite=True, progress=False)
    assert list(images(tmp_path / "o")) == IDS


def test_the_bar_moves_by_steps(trained, tmp_path, monkeypatch):
    seen = []

    class Bar(module.SamplingBar):
        def step(self, *state):
            super().step(*state)
            seen.append(self.bar.n)

    monkeypatch.setattr(module, "SamplingBar", Bar)
    evaluate(*trained, out=tmp_path, count=5, batch_size=4)
    assert seen == [1, 2, 3, 4, 5, 6]


def never(*_, **__):
    raise AssertionError("an image was made")


def test_what_can_be_known_before_is_an_error_before_the_first_image(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "generate", never)
    # In the place of Inception's weights, which are not shipped.
    flat = Extractor(torch.nn.Flatten(), "flat", "", {}, device="cpu")
    monkeypatch.setattr(set_metric, "build_extractor", lambda *_: flat)
    (tmp_path / "reference").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "reference" / name).write_bytes(b"nothing")
    metric = [dict(type="FID", reference=str(tmp_path / "reference"))]
    with pytest.raises(ValueError, match=r"reference/0\.png: found a file that is no image"):
        evaluate(*trained, out=tmp_path / "a", options={"test_evaluator": metric}, progress=False)
    psnr = {"test_dataloader.dataset.pipeline.2.image_size": 32}
    with pytest.raises(ValueError, match=r"got an image \(3, 16, 16\), expected the size of its ground truth"):
        evaluate(*trained, out=tmp_path / "b", options=psnr, progress=False)
    dataset = Config.fromfile(trained[0]).test_dataloader.dataset.to_dict()
    twice = dict(type="MixedDataset", datasets=[dataset, dataset], _delete_=True)
    with pytest.raises(ValueError, match="two samples of the test set have it"):
        evaluate(*trained, out=tmp_path / "c", options={"test_dataloader.dataset": twice}, progress=False)
    assert not (tmp_path / "c").exists()
    for name in ("metrics.json", "grid.png"):
        folder = tmp_path / name[:4]
        (folder / name).mkdir(parents=True)
        (folder / "protocol.json").write_text("{}")
        with pytest.raises(OSError, match=rf"{name} cannot be written: Is a directory"):
            evaluate(*trained, out=folder, overwrite=True, progress=False)


def test_absent_weights_stop_before_the_first_image(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "generate", never)
    with pytest.raises(
        MissingWeightsError, match=r"got no weights for LPIPS(.|\n)*--skip-missing(.|\n)*LPIPS: no weights"
    ):
        module.evaluate(*trained, out=tmp_path / "o", progress=False)
    assert not (tmp_path / "o").exists()


def test_leftovers_make_no_folder_another_s(trained, tmp_path):
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "Thumbs.db").touch()
    assert evaluate(*trained, out=tmp_path, count=1, progress=False).made == 1


def test_a_text_beside_the_condition_is_evaluated_as_well(trained, tmp_path):
    words = dict(type="WordTokenizer", words="pitikit.scenes:VOCABULARY")
    cfg = Config.fromfile(trained[0]).to_dict()
    condition, dataset = cfg["model"]["denoiser"]["encoder"], cfg["test_dataloader"]["dataset"]
    text = dict(type="TextEncoder", tokenizer=words, length=48, width=32, layers=1, heads=2)
    *load, pack = dataset["pipeline"]
    options = {
        "model.denoiser.encoder": dict(type="DualEncoder", condition=condition, text=text),
        "model.sampler.guidance": dict(type="DualCFG", scale=1.5, text_scale=2.0),
        "test_dataloader.dataset.members": ["image", "mask", "caption"],
        "test_dataloader.dataset.pipeline": [*load, dict(type="LoadCaption", tokenizer=words), pack],
        "test_evaluator": [dict(type="PSNR")],
    }
    report = evaluate(trained[0], "random", tmp_path, options=options, progress=False)
    assert report.metrics["PSNR"] > 0 and len(list((tmp_path / "images").iterdir())) == dataset["length"]
