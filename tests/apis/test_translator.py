"""Translator: what goes in, what comes out, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image

from pitikit.apis.inputs import ConditionReader
from pitikit.apis.translator import Translator
from pitikit.data.conditions import voc_palette
from pitikit.data.errors import DataError
from pitikit.data.scenes import render_scene
from pitikit.diffusion.noise import sample_seed
from pitikit.engine.weights import save_weights
from pitikit.models.translator import to_uint8
from pitikit.registry import DATASETS

LOADERS = {
    "mask": [dict(type="LoadMask", num_classes=22)],
    "sketch": [
        dict(type="LoadSketch"),
        dict(type="LoadMask", num_classes=22, condition=False),
    ],
    "geometry": [
        dict(type="LoadNormals"),
        dict(type="LoadDepth", unit="m", near=2.0, far=300.0),
    ],
}
CHANNELS = {"mask": 3, "sketch": 1, "geometry": 6}


TINY = Path(__file__).resolve().parents[1] / "configs" / "tiny.py"


def tiny_config(kind: str) -> dict:
    """A config whose pipeline has everything that a real one has, and a network of few values."""
    cfg = Config.fromfile(TINY).to_dict()
    cfg["model"]["denoiser"]["encoder"]["in_channels"] = CHANNELS[kind]
    dataset = cfg["test_dataloader"]["dataset"]
    dataset["members"] = ["image", "mask", "sketch", "depth", "normals"]
    resize, flip, pack = dataset["pipeline"][2:]
    pack["keep"] = ["depth"] if kind == "geometry" else ["label"]
    dataset["pipeline"] = [dict(type="LoadImage"), *LOADERS[kind], resize, flip, pack]
    return cfg


@pytest.fixture(scope="module")
def write_config(tmp_path_factory):
    """kind -> path of a config file."""
    folder = tmp_path_factory.mktemp("configs")

    def write(kind: str) -> Path:
        path = folder / f"{kind}.py"
        Config(tiny_config(kind)).dump(path)
        return path

    return write


@pytest.fixture(scope="module")
def translators(write_config):
    """kind -> a translator whose network says something: its output layer is not left at zero."""
    made = {}
    for kind in LOADERS:
        made[kind] = Translator.from_config(write_config(kind), None, "cpu")
        generator = torch.Generator().manual_seed(1)
        for parameter in made[kind].model.denoiser.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return made


@pytest.fixture(scope="module")
def scene():
    return render_scene(0, 5, 64)


@pytest.fixture
def files(tmp_path, scene):
    """A condition of each kind as a file, in a folder named for its member."""
    image = {name: tmp_path / name / "five.png" for name in ("mask", "sketch", "normals", "photo")}
    for path in image.values():
        path.parent.mkdir()
    mask = Image.fromarray(scene.label, mode="P")
    mask.putpalette(voc_palette(22).tobytes())
    mask.save(image["mask"])
    Image.fromarray(scene.sketch).save(image["sketch"])
    Image.fromarray(np.rint((scene.normals + 1) * 127.5).astype(np.uint8)).save(image["normals"])
    Image.fromarray(scene.image).save(image["photo"])
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "five.npy", scene.depth)
    return {**image, "depth": tmp_path / "depth" / "five.npy", "root": tmp_path}


@pytest.mark.parametrize("kind", LOADERS)
def test_first_sample_is_what_the_test_set_gives(translators, kind, scene):
    translator = translators[kind]
    dataset = tiny_config(kind)["test_dataloader"]["dataset"]
    dataset["pipeline"][-2]["prob"] = 0.0
    item = DATASETS.build(dataset)[0]
    batch = {"condition": item["condition"][None], "id": [item["id"]]}
    expected = translator.model.predict(**translator.model.data_preprocessor(batch))[0]["pred"]

    arrays = dict(mask=scene.label, sketch=scene.sketch, normals=scene.normals, depth=scene.depth)
    made = translator({m: arrays[m] for m in translator.members}, ids=["scene_000005"])

    assert made.shape == (1, 1, 16, 16, 3) and made.dtype == np.uint8
    assert np.array_equal(made[0, 0], expected.permute(1, 2, 0).numpy())


def test_the_condition_matters(translators, scene):
    other = render_scene(0, 9, 64).label
    made = translators["mask"]([scene.label, other], ids=["a", "a"])
    assert not np.array_equal(made[0], made[1])


@pytest.mark.parametrize("kind", LOADERS)
def test_a_file_an_image_and_an_array_are_the_same(translators, files, kind, scene):
    translator = translators[kind]
    members = translator.members
    by_file = translator({m: files[m] for m in members}, ids=["x"])
    opened = {m: np.load(files[m]) if m == "depth" else Image.open(files[m]) for m in members}
    normals = np.asarray(Image.open(files["normals"]))
    arrays = dict(mask=scene.label, sketch=scene.sketch, normals=normals, depth=scene.depth)
    by_image = translator(opened, ids=["x"])
    by_array = translator({m: arrays[m] for m in members}, ids=["x"])
    assert np.array_equal(by_file, by_image)
    assert np.array_equal(by_file, by_array)
    if len(members) == 1:
        assert np.array_equal(by_file, translator(str(files[members[0]]), ids=["x"]))


def test_partners_are_found_beside_a_file(translators, files):
    geometry = translators["geometry"]
    expected = geometry({m: files[m] for m in ("normals", "depth")})
    for given in (files["depth"], files["normals"], files["depth"].parent, files["root"]):
        assert np.array_equal(geometry(given), expected)
    files["normals"].unlink()
    with pytest.raises(DataError, match="no normals beside it"):
        geometry(files["depth"])
    with pytest.raises(DataError, match="keep them in folders of these names"):
        geometry(files["photo"])


def test_samples_are_seeds_counted_on_and_batches_change_nothing(translators, scene):
    mask = translators["mask"]
    labels = np.stack([scene.label, render_scene(0, 6, 64).label])
    three = mask(labels, seed=4, samples=3, batch_size=6)
    assert three.shape == (2, 3, 16, 16, 3)
    assert not np.array_equal(three[0, 0], three[0, 1])
    assert np.array_equal(three, mask(labels, seed=[4, 5, 6], batch_size=6))
    # Other batches, other kernels: what they round differently is a grey level at most.
    second = mask(labels, seed=5, batch_size=2)
    assert np.abs(second.astype(int) - three[:, 1:2]).max() <= 1
    for batch_size in (1, 4):
        again = mask(labels, seed=4, samples=3, batch_size=batch_size)
        assert np.abs(again.astype(int) - three).max() <= 1


def test_timing_counts_batches(translators, scene):
    mask = translators["mask"]
    mask(scene.label, samples=3, batch_size=2)
    timing = mask.timing
    assert (timing.steps, timing.pictures, timing.calls) == (3, 3, 6)
    assert timing.seconds > 0
    assert str(timing).startswith("3 steps, 3 pictures in 2 batches, ")
    mask(scene.label)
    assert str(mask.timing).startswith("3 steps, 1 picture, ")


def test_sampler_is_set_without_touching_the_model(translators, scene):
    mask = translators["mask"]
    own = mask.model.sampler
    before = mask(scene.label)
    mask.sampler = dict(type="DDIMSampler", steps=2)
    assert not np.array_equal(mask(scene.label), before)
    assert mask.timing.steps == 2 and mask.model.sampler is own
    with pytest.raises(ValueError, match="steps"):
        mask.sampler = dict(type="DDIMSampler", steps=2000)
    with pytest.raises(TypeError, match="did you mean 'steps'"):
        mask.sampler = dict(type="DDIMSampler", step=2)
    mask.sampler = None
    assert np.array_equal(mask(scene.label), before)


def test_a_live_model_keeps_its_mode(translators, scene):
    model = translators["mask"].model
    expected = translators["mask"](scene.label)
    live = Translator(model, tiny_config("mask")["test_dataloader"]["dataset"]["pipeline"])
    model.train()
    model.denoiser.decoder.eval()
    try:
        assert np.array_equal(live(scene.label), expected)
        assert model.training and model.denoiser.encoder.training
        assert not model.denoiser.decoder.training
    finally:
        model.eval()
    with pytest.raises(TypeError, match="DenoisingTranslator"):
        Translator(model.denoiser, tiny_config("mask"))


def test_from_config_and_folder_load_the_weights(translators, write_config, tmp_path, scene):
    trained = translators["mask"]
    weights = save_weights(tmp_path / "ema.safetensors", trained.model.denoiser.state_dict())
    expected = trained(scene.label)
    config = write_config("mask")
    assert np.array_equal(Translator.from_config(config, weights)(scene.label), expected)
    (tmp_path / "mask.py").write_text(config.read_text())
    assert np.array_equal(Translator.from_folder(tmp_path)(scene.label), expected)
    shorter = Translator.from_config(config, weights, options={"model.sampler.steps": 2})
    assert len(shorter.model.schedule.spaced(shorter.sampler.steps)) == 2
    with pytest.raises(ValueError, match="does not fit"):
        Translator.from_config(write_config("sketch"), weights)
    with pytest.raises(ValueError, match="no such file"):
        Translator.from_config(config, tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="device='cuda:99'"):
        Translator.from_config(config, weights, "cuda:99")
    with pytest.raises(ValueError, match="with one config"):
        Translator.from_folder(tmp_path / "nowhere")


def test_predictions_are_to_uint8_of_the_models(translators, scene):
    mask = translators["mask"]
    condition = mask.reader.read(mask.reader.find(scene.label)[0])[None]
    assert condition.shape == (1, 3, 32, 32) and condition.dtype == torch.uint8
    scaled = mask.model.data_preprocessor({"condition": condition})["condition"]
    raw = mask.model.predict_images(scaled, [sample_seed(0, "0")])
    made = torch.from_numpy(mask(scene.label)[0, 0]).permute(2, 0, 1)
    assert torch.equal(to_uint8(raw)[0], made)


def wrong_inputs(files, scene):
    """What is wrong, kind of model, input, words of the message."""
    root = files["root"]
    (root / "empty").mkdir()
    (root / "notes.png").write_text("no picture")
    cut = root / "cut.png"
    cut.write_bytes(files["mask"].read_bytes()[:200])
    grey = root / "grey.png"
    Image.fromarray(np.where(scene.label < 10, 0, scene.label).astype(np.uint8)).save(grey)
    bits = root / "bits.png"
    Image.fromarray(scene.sketch).convert("1").save(bits)
    high = scene.label.copy()
    high[0, 0] = 40
    return [
        ("mask", root / "absent.png", "no such file"),
        ("mask", root / "empty", "a folder without pictures"),
        ("mask", root / "notes.png", "no picture"),
        ("mask", cut, "cannot be decoded"),
        ("mask", files["photo"], "channels"),
        ("mask", files["sketch"], "this looks like a sketch"),
        ("mask", bits, "this looks like a sketch"),
        ("mask", scene.sketch, "this looks like a sketch"),
        ("mask", scene.image, "channels"),
        ("mask", high, r"40 \(1 pixels\)"),
        ("mask", Image.fromarray(scene.image), "channels"),
        ("mask", scene.label[..., None].astype(np.int32), "shape"),
        ("mask", 3, "type int"),
        ("mask", [], "no input"),
        ("mask", {"label": scene.label}, "'mask'"),
        ("sketch", files["mask"], "a colour picture"),
        ("sketch", grey, "this looks like a label map"),
        ("sketch", scene.label, "label map"),
        ("sketch", files["photo"], "colour picture"),
        ("geometry", scene.depth, "give a dict"),
        ("geometry", {"depth": files["depth"]}, "'normals' and 'depth'"),
        ("geometry", {"depth": files["mask"], "normals": files["normals"]}, "8-bit"),
        ("geometry", {"depth": files["depth"], "normals": files["photo"]}, "unit normals"),
        ("geometry", {"depth": files["depth"], "normals": files["mask"]}, "channels"),
    ]


def test_errors_say_what_is_wrong(translators, files, scene):
    for kind, given, words in wrong_inputs(files, scene):
        with pytest.raises(DataError, match=words) as caught:
            translators[kind](given)
        # The file that a picture in memory goes through is nobody's business.
        if not isinstance(given, (str, Path)):
            assert "/tmp" not in str(caught.value).replace(str(files["root"]), "")


def test_numbers_out_of_range(translators, scene):
    mask = translators["mask"]
    for wrong in (dict(samples=0), dict(batch_size=0), dict(seed=[]), dict(seed=[1, 2], samples=3)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            mask(scene.label, **wrong)
    with pytest.raises(ValueError, match="ids: 2 for 1"):
        mask(scene.label, ids=["a", "b"])


def test_pipeline_without_a_condition(translators):
    pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
    with pytest.raises(ValueError, match="loads no condition"):
        Translator(translators["mask"].model, pipeline)
    with pytest.raises(ValueError, match="no pipeline"):
        Translator(translators["mask"].model, {"test_dataloader": {}})


def test_write(translators, files, tmp_path, scene):
    mask = translators["mask"]
    out = tmp_path / "out"
    (path,) = mask.write(files["mask"], out)
    assert path == out / "five.png"
    assert np.array_equal(np.asarray(Image.open(path)), mask(files["mask"])[0, 0])
    assert [p.name for p in mask.write(files["mask"], out, samples=2)] == [
        "five_0.png",
        "five_1.png",
    ]
    assert sorted(p.name for p in out.iterdir()) == ["five.png", "five_0.png", "five_1.png"]


def test_write_refuses_to_overwrite(translators, files, tmp_path):
    mask = translators["mask"]
    twin = tmp_path / "twin" / "five.png"
    twin.parent.mkdir()
    twin.write_bytes(files["mask"].read_bytes())
    with pytest.raises(ValueError, match="both be written to"):
        mask.write([files["mask"], twin], tmp_path / "out")
    with pytest.raises(ValueError, match="is an input"):
        mask.write(files["mask"], files["mask"].parent)
    with pytest.raises(DataError, match="no such file"):
        mask.write([files["mask"], tmp_path / "absent.png"], tmp_path / "out")
    with pytest.raises(ValueError, match="a folder to write to"):
        mask.write(files["mask"], twin)
    assert not (tmp_path / "out").exists()


def test_captions_are_texts_and_paths_are_files(tmp_path):
    words = dict(type="WordTokenizer", words="pitikit.data.scenes:VOCABULARY")
    reader = ConditionReader([dict(type="LoadCaption", tokenizer=words), dict(type="PackInputs")])
    path = tmp_path / "one.txt"
    path.write_text("day clear grass")
    text, file = reader.find(["day clear grass", path])
    assert (text.id, file.id) == ("0", "one")
    tokens = reader.read(text)
    assert tokens.dtype == torch.int64 and torch.equal(tokens, reader.read(file))
    assert not torch.equal(tokens, reader.read(reader.find("night clear grass")[0]))
