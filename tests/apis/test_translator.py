"""Translator: what it makes of a condition, and with which settings."""

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.apis import rows
from pitikit.apis.translator import Translator
from pitikit.data.errors import DataError
from pitikit.data.extraction import Canny
from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import DDIMSampler, SamplingRequest
from pitikit.models.translator import to_uint8
from pitikit.registry import DATASETS
from pitikit.scenes import render_scene
from pitikit.weights import save_weights

KINDS = ("mask", "sketch", "geometry")


@pytest.mark.parametrize("kind", KINDS)
def test_first_sample_is_what_the_test_set_gives(translators, tiny_config, kind, scene):
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


def test_samples_are_seeds_counted_on_and_batches_change_nothing(translators, scene):
    mask = translators["mask"]
    labels = np.stack([scene.label, render_scene(0, 6, 64).label])
    three = mask(labels, seed=4, samples=3, batch_size=6)
    assert three.shape == (2, 3, 16, 16, 3)
    assert not np.array_equal(three[0, 0], three[0, 1])
    assert np.array_equal(three, mask(labels, seed=[4, 5, 6], batch_size=6))
    # Other batches, other kernels: what they round differently an untrained network makes larger.
    second = mask(labels, seed=5, batch_size=2)
    assert np.abs(second.astype(int) - three[:, 1:2]).max() <= 3
    for batch_size in (1, 4):
        again = mask(labels, seed=4, samples=3, batch_size=batch_size)
        assert np.abs(again.astype(int) - three).max() <= 3


def test_timing_counts_batches(translators, scene):
    mask = translators["mask"]
    mask(scene.label, samples=3, batch_size=2)
    timing = mask.timing
    assert (timing.steps, timing.images, timing.calls) == (3, 3, 6)
    assert timing.seconds > 0
    assert str(timing).startswith("3 steps, 3 images in 2 batches, ")
    mask(scene.label)
    assert str(mask.timing).startswith("3 steps, 1 image, ")


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
    with pytest.raises(TypeError, match="sampler: got int, expected one derived"):
        mask.sampler = 20
    mask.sampler = None
    assert np.array_equal(mask(scene.label), before)


def test_a_live_model_keeps_its_mode(translators, tiny_config, scene):
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
    raw = mask.model.sample(scaled, SamplingRequest([sample_seed(0, "0")])).images
    made = torch.from_numpy(mask(scene.label)[0, 0]).permute(2, 0, 1)
    assert torch.equal(to_uint8(raw)[0], made)


def test_numbers_out_of_range(translators, scene):
    mask = translators["mask"]
    for wrong in (dict(samples=0), dict(batch_size=0), dict(seed=[]), dict(seed=[1, 2], samples=3)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            mask(scene.label, **wrong)
    array = np.array([3, 4])
    assert np.array_equal(mask(scene.label, seed=array), mask(scene.label, seed=np.int64(3), samples=np.uint8(2)))
    odd = ["12", 1.5, ["1"], [1.0], np.array([1.5]), np.zeros((2, 2), int)]
    for wrong in (*(dict(seed=seed) for seed in odd), dict(samples=2.5), dict(samples="2"), dict(batch_size=2.0)):
        with pytest.raises(TypeError, match=rf"^{next(iter(wrong))}=.*: expected a whole number[^\n]*$"):
            mask(scene.label, **wrong)
    with pytest.raises(ValueError, match="ids: 2 for 1"):
        mask(scene.label, ids=["a", "b"])


def test_impossible_steps_are_told_before_the_weights_are_read(write_config):
    for steps in ("foo", 2000):
        with pytest.raises(ValueError, match=f"steps='?{steps}"):
            Translator.from_config(write_config("mask"), None, "cpu", {"model.sampler.steps": steps})


def test_a_call_has_steps_scale_and_sampler_of_its_own(translators, scene):
    mask = translators["mask"]
    own, before = mask.model.sampler, mask(scene.label)
    for call, steps in (
        (dict(steps=2), 2),
        (dict(scale=4.0), 3),
        (dict(sampler=dict(type="DDIMSampler", steps=5, eta=1.0)), 5),
        (dict(sampler=DDIMSampler(4), steps=2, scale=2.0), 2),
        (dict(dtype="bfloat16"), 3),
    ):
        made = mask(scene.label, **call)
        assert mask.timing.steps == steps and not np.array_equal(made, before), call
    assert mask.model.sampler is own and np.array_equal(mask(scene.label), before)
    assert np.array_equal(mask(scene.label, dtype="float32", scale=own.guidance[0].scale, steps=own.steps), before)
    for call, words in (
        (dict(steps=2000), "steps"),
        (dict(scale=float("nan")), "scale=nan"),
        (dict(dtype="int8"), "dtype='int8': expected one of 'float32', 'bfloat16', 'float16'"),
        (dict(output_type="jpg"), "output_type='jpg': expected one of 'np', 'pil', 'pt'"),
        (dict(upsampler=dict(steps=2)), "upsampler: got a DenoisingTranslator, expected a cascade"),
    ):
        with pytest.raises(ValueError, match=words):
            mask(scene.label, **call)


def test_output_types_are_the_same_images(translators, scene):
    mask = translators["mask"]
    arrays = mask(scene.label, samples=2)
    images = mask(scene.label, samples=2, output_type="pil")
    assert [[image.size for image in row] for row in images] == [[(16, 16)] * 2]
    assert np.array_equal(np.stack([np.asarray(image) for image in images[0]]), arrays[0])
    tensor = mask(scene.label, samples=2, output_type="pt")
    assert tensor.dtype == torch.uint8 and torch.equal(tensor, torch.from_numpy(arrays).permute(0, 1, 4, 2, 3))


def test_a_callback_sees_the_image_come(translators, scene):
    mask, seen = translators["mask"], []
    made = mask(scene.label, samples=3, batch_size=2, callback=lambda *step: seen.append(step))
    assert [(step, steps, preview.shape) for step, steps, preview in seen] == [
        (step, 3, (batch, 16, 16, 3)) for batch in (2, 1) for step in (1, 2, 3)
    ]
    assert np.array_equal(seen[2][2], made[0, :2]) and np.array_equal(seen[-1][2], made[0, 2:])
    assert not np.array_equal(seen[0][2], seen[2][2])


def test_an_image_in_memory_is_read_as_its_file(translators, files, monkeypatch):
    """Without a detour over files: nothing is written."""
    expected = {kind: translators[kind](files[kind]) for kind in ("mask", "sketch")}
    monkeypatch.setattr(Image.Image, "save", None)
    for kind, made in expected.items():
        with Image.open(files[kind]) as image:
            assert np.array_equal(translators[kind](image), made)
            assert np.array_equal(translators[kind](np.asarray(image)), made)


def test_the_seed_alone_decides_the_noise_of_a_single_input(translators, files, scene):
    mask = translators["mask"]
    expected = mask(scene.label, seed=3, samples=2)
    with Image.open(files["mask"]) as image:
        forms = [files["mask"], str(files["mask"]), files["mask"].parent, image, [files["mask"]], {"mask": scene.label}]
        for given in (*forms, str(files["mask"].parent / "*.png"), scene.label[None]):
            assert np.array_equal(mask(given, seed=3, samples=2), expected), given
    # A changed condition keeps its noise.
    changed = np.where(scene.label == scene.label[0, 0], 1, scene.label)
    assert mask.reader.find(changed)[0].noise == mask.reader.find(scene.label)[0].noise


def test_several_inputs_have_noise_by_their_names(translators, files, tmp_path):
    mask = translators["mask"]
    paths = [files["mask"], tmp_path / "mask" / "six.png"]
    Image.fromarray(render_scene(0, 6, 64).label).save(paths[1])
    both = mask(paths, batch_size=2)
    assert np.array_equal(mask(paths[::-1], batch_size=2)[::-1], both)
    assert np.array_equal(mask(files["mask"].parent, batch_size=2), both)
    # By name one of them is made again: a batch of one rounds differently.
    for path, made in zip(paths, both, strict=True):
        assert np.abs(mask(path, ids=[path.stem])[0].astype(int) - made).max() <= 3
    # Without names by their positions.
    arrays = [np.asarray(Image.open(path)) for path in paths]
    assert np.array_equal(mask(arrays, batch_size=2), mask(paths, ids=["0", "1"], batch_size=2))


def test_without_a_seed_the_models_own_counts(write_config, scene):
    own = Translator.from_config(write_config("mask"), None, "cpu", {"model.seed": 5})
    assert np.array_equal(own(scene.label), own(scene.label, seed=5))
    assert not np.array_equal(own(scene.label), own(scene.label, seed=0))


def test_every_input_is_read_once(translators, files, monkeypatch):
    mask, reads = translators["mask"], []
    read = mask.reader.read
    monkeypatch.setattr(mask.reader, "read", lambda item: reads.append(item.id) or read(item))
    kept = mask([files["mask"]] * 3, ids=list("abc"), batch_size=2)
    assert reads == list("abc")
    monkeypatch.setattr(rows, "KEPT", 1)
    assert np.array_equal(mask([files["mask"]] * 3, ids=list("abc"), batch_size=2), kept)
    assert reads[3:] == list("abcbc")


def test_a_classifier_gets_the_label_maps_that_are_translated():
    translator = Translator.from_config("tests/configs/tiny.py", None, "cpu")
    network = torch.nn.Conv2d(3, 22, 1)
    ids = np.repeat(np.arange(4, dtype=np.uint8), 16)[:, None].repeat(64, axis=1)
    guidance = dict(type="Interval", guidance=dict(type="ClassifierGuidance", network=network, scale=30.0))
    sampler = dict(type="DDIMSampler", steps=2)
    plain = translator([ids, ids.T], sampler=sampler, progress=False)
    guided = translator([ids, ids.T], sampler={**sampler, "guidance": guidance}, progress=False)
    assert (guided != plain).any(axis=(1, 2, 3, 4)).all()
    assert translator.reader.read_label(translator.reader.find(ids)[0]).tolist() == np.array(ids)[::2, ::2].tolist()


@pytest.mark.parametrize(
    ("kind", "target", "channels"),
    [("mask", "label", 22), ("sketch", "edges", 1), ("geometry", "depth", 1), ("geometry", "normals", 3)],
)
def test_a_network_that_reads_images_guides_any_model(translators, scene, kind, target, channels):
    geometry = dict(depth=scene.depth, normals=scene.normals.astype(np.float32))
    inputs = dict(mask=scene.label, sketch=scene.sketch, geometry=geometry)
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, channels, 3, padding=1)
    guidance = dict(type="ConsistencyGuidance", network=network, target=target, scale=30.0)
    sampler = dict(type="DDIMSampler", steps=2)
    plain = translators[kind](inputs[kind], sampler=sampler, progress=False)
    guided = translators[kind](inputs[kind], sampler={**sampler, "guidance": guidance}, progress=False)
    assert (guided != plain).any()


def test_a_guidance_by_what_the_inputs_do_not_have(translators, scene):
    guidance = dict(type="ConsistencyGuidance", network=torch.nn.Conv2d(3, 1, 1), target="depth")
    with pytest.raises(DataError, match="a key 'depth' to keep"):
        translators["mask"](scene.label, sampler=dict(type="DDIMSampler", steps=2, guidance=guidance))


def test_photographs_give_the_images_of_their_edges(translators):
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[16:40, 20:50] = 200
    translator = translators["sketch"]
    edges = Canny()(photo)
    assert np.array_equal(translator(photo, from_photo="canny", seed=3), translator(edges, seed=3))
    # The next call takes conditions again.
    assert np.array_equal(translator(edges, seed=3), translator(edges, seed=3, from_photo=None))
