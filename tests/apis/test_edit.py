"""Edits: what stays byte for byte, what is made anew, and what is refused."""

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image

from pitikit.apis.building import build_model
from pitikit.apis.edit import Edit, blended, feathered, parse_resample
from pitikit.apis.translator import Translator
from pitikit.data.errors import DataError
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler
from pitikit.scenes import render_scene

SIDE = 16


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def label():
    return render_scene(0, 5, 64).label


@pytest.fixture(scope="module")
def other(label):
    """A label map that differs from the other one in a square: rows and columns 8 to 23 of 64, 2 to 5 of 16."""
    changed = label.copy()
    changed[8:24, 8:24] = (changed[8:24, 8:24] + 1) % 22
    return changed


def test_strength_is_the_distance_from_the_image(translators, label, photo):
    mask = translators["mask"]
    made = [mask.edit(label, photo, strength=share, steps=10) for share in (0.0, 0.1, 0.5)]
    assert made[0].shape == (1, 1, SIDE, SIDE, 3) and np.array_equal(made[0][0, 0], photo)
    distances = [float(np.abs(each[0, 0].astype(int) - photo).mean()) for each in made]
    assert 0 == distances[0] < distances[1] < distances[2]
    assert mask.timing.steps == mask.timing.calls == 5
    mask.edit(label, photo, steps=10)
    assert mask.timing.steps == 6


def test_a_mask_is_white_where_the_image_is_made_anew(translators, label, photo):
    mask = translators["mask"]
    white = np.zeros((SIDE, SIDE), np.uint8)
    white[:, 8:] = 255
    made = mask.edit(label, photo, mask=white, seed=3, samples=2)
    assert np.array_equal(made[0, 0][:, :8], photo[:, :8]) and np.array_equal(made[0, 1][:, :8], photo[:, :8])
    assert not np.array_equal(made[0, 0][:, 8:], photo[:, 8:]) and not np.array_equal(made[0, 0], made[0, 1])
    assert np.array_equal(mask.edit(label, photo, keep=255 - white, seed=3, samples=2), made)
    assert np.array_equal(mask.edit(label, photo, mask=white > 0, seed=3, samples=2), made)
    assert np.array_equal(mask.edit(label, photo, mask=white / 255, seed=3, samples=2), made)
    again = mask.edit(label, photo, mask=white, seed=3, samples=2, resample=(1, 2))
    assert mask.timing.steps == mask.timing.calls == 5  # Of three steps the first two are made twice.
    assert np.array_equal(again[0, 0][:, :8], photo[:, :8]) and not np.array_equal(again, made)


@pytest.mark.parametrize("feather", [0, 2, None])
def test_what_does_not_change_in_the_condition_stays(translators, label, other, photo, feather):
    mask = translators["mask"]
    made = mask.edit(other, photo, before=label, feather=feather)[0, 0]
    border = 1 if feather is None else feather
    near = np.zeros((SIDE, SIDE), bool)
    near[2 - border : 6 + border, 2 - border : 6 + border] = True
    assert np.array_equal(made[~near], photo[~near])
    assert not (made[2:6, 2:6] == photo[2:6, 2:6]).all(axis=2).any()


def test_a_mask_beside_an_old_condition_adds_its_part(translators, label, other, photo):
    white = np.zeros((SIDE, SIDE), bool)
    white[12:] = True
    made = translators["mask"].edit(other, photo, before=label, mask=white, feather=0)[0, 0]
    changed = (made != photo).any(axis=2)
    assert changed[12:].any() and changed[2:6, 2:6].any()
    assert not changed[6:12].any() and not changed[:2].any()


def test_a_border_of_pixels():
    places = np.zeros((9, 9), bool)
    places[4, 4] = True
    blend = feathered(places, 2)
    assert (
        blend[4, 2:7].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
        and blend[4, 1] == blend[3, 2] - blend[3, 2] == 0
    )
    assert blend.dtype == np.float32 and np.array_equal(feathered(places, 0), places.astype(np.float32))
    old = np.full((1, 3, 3), 100, np.uint8)
    made = blended(np.full((2, 1, 3, 3), 201, np.uint8), old, np.array([[[0.0], [0.5], [1.0]]], np.float32))
    assert made.dtype == np.uint8 and made[1, 0, :, 0].tolist() == [100, 150, 201]


def test_a_variation_keeps_the_image_the_less_of_its_noise_is_replaced(translators, label, photo):
    mask, smooth = translators["mask"], np.full((SIDE, SIDE, 3), 140, np.uint8)
    made = [mask.edit(label, smooth, variation=share, steps=10, seed=1)[0, 0] for share in (0.0, 0.3)]
    assert mask.timing.steps == mask.timing.calls == 18  # Nine steps back and nine forth.
    assert not np.array_equal(*made)
    distances = [float(np.abs(each.astype(int) - 140).mean()) for each in made]
    assert distances[0] < 2 < distances[1]
    ddim = dict(type="DDIMSampler", steps=10)
    made = [mask.edit(label, smooth, variation=0.0, sampler=ddim, seed=seed)[0, 0] for seed in (1, 2)]
    assert np.array_equal(*made)  # Nothing is drawn.


class Solver(DDIMSampler):
    """A sampler without noise that is none of those whose way back is known."""


def test_the_way_back_of_a_variation_is_that_of_the_sampler():
    own = Solver(7, guidance=dict(type="CFG", scale=2.0))
    chosen = Edit("a.png", variation=0.2).sampling(own, {"dtype": None})["sampler"]
    assert type(chosen) is DDIMSampler and (chosen.eta, chosen.steps) == (0, 7)
    assert chosen.guidance[0].scale == 2.0
    assert Edit("a.png", variation=0.2).sampling(DDPMSampler(7), {}) == {}
    assert Edit("a.png", variation=0.2).sampling(own, {"sampler": own}) == {"sampler": own}
    assert Edit("a.png").sampling(own, {}) == {}


@pytest.mark.parametrize("kind", ["sketch", "geometry"])
def test_other_conditions_are_edited_alike(translators, scene, photo, kind):
    translator = translators[kind]
    arrays = dict(sketch=scene.sketch, normals=scene.normals, depth=scene.depth)
    old = {name: arrays[name] for name in translator.members}
    new = {name: array.copy() for name, array in old.items()}
    for name, array in new.items():
        array[8:24, 8:24] = dict(sketch=0, normals=np.float32([0, 0, 1]), depth=np.float32(10.0))[name]
    if kind == "sketch":
        new["sketch"][8:24, 15] = 255
    made = translator.edit(new, photo, before=old)[0, 0]
    changed = (made != photo).any(axis=2)
    assert changed[2:6, 2:6].any() and not changed[8:].any() and not changed[:, 8:].any()


def test_steps_previews_ids_and_kinds_of_output_are_those_of_a_translation(translators, label, photo):
    mask, seen = translators["mask"], []
    note = lambda step, steps, preview: seen.append((step, steps, preview.shape))  # noqa: E731
    images = [photo, 255 - photo]
    given = dict(seed=[4, 9], ids=["a", "b"], strength=0.7, batch_size=4)
    made = mask.edit([label] * 2, images, callback=note, **given)
    assert seen == [(1, 2, (4, SIDE, SIDE, 3)), (2, 2, (4, SIDE, SIDE, 3))]
    assert np.array_equal(
        mask.edit([label] * 2, np.stack(images), output_type="pt", **given)[1, 1].permute(1, 2, 0), made[1, 1]
    )
    assert np.array_equal(mask.edit([label] * 2, images, output_type="pil", **given)[0][1], made[0, 1])
    alone = mask.edit(label, images[1], seed=9, ids=["b"], strength=0.7)
    assert np.abs(alone[0, 0].astype(int) - made[1, 1]).max() <= 3
    assert len({each.tobytes() for each in made.reshape(4, -1)}) == 4


@pytest.mark.parametrize(
    "words, changes",
    [
        ("image: got None, expected the image to edit", dict(image=None)),
        ("strength: got 1.5, expected a number from 0 to 1", dict(strength=1.5)),
        ("strength: got -0.1, expected", dict(strength=-0.1)),
        ("strength: got '0.5', expected", dict(strength="0.5")),
        ("strength: got nan, expected", dict(strength=float("nan"))),
        ("variation: got 2, expected a number from 0 to 1", dict(variation=2)),
        ("keep: got one beside mask, expected either", dict(mask="m.png", keep="k.png")),
        ("feather: got 3, expected mask, keep or before beside it", dict(feather=3)),
        (r"resample: got \(2, 2\), expected mask, keep or before beside it", dict(resample=(2, 2))),
        ("resample: got 5, expected", dict(mask="m.png", resample=5)),
        ("feather: got -1, expected a number of pixels, 0 or more", dict(mask="m.png", feather=-1)),
        ("feather: got 1.5, expected", dict(mask="m.png", feather=1.5)),
    ],
)
def test_what_is_no_edit(words, changes):
    with pytest.raises(ValueError, match=words):
        Edit(**{"image": "i.png", **changes})


def test_what_does_not_fit_the_inputs(translators, label, other, photo):
    mask, white = translators["mask"], np.zeros((SIDE, SIDE), bool)
    white[3:5, 3:5] = True
    with pytest.raises(ValueError, match="image: 1 images for 2 inputs; expected one each"):
        mask.edit([label] * 2, photo)
    with pytest.raises(ValueError, match="mask: 1 images for 2 inputs"):
        mask.edit([label] * 2, [photo] * 2, mask=white)
    with pytest.raises(ValueError, match="before: 2 conditions for 1 inputs; expected one each"):
        mask.edit(other, photo, before=[label, label])
    with pytest.raises(DataError, match="item '0': found a border of 40 pixels .*; expected a part that stays"):
        mask.edit(other, photo, before=label, feather=40)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'image'"):
        mask.edit(label)
    with pytest.raises(ValueError, match="low_res: the model enlarges nothing"):
        mask.edit(label, photo, low_res=photo)


def test_resample_as_a_text():
    assert parse_resample("10, 5") == (10, 5)
    for wrong in ("10", "a,b", "1,2,3", "-1,2", "1.5,2"):
        with pytest.raises(ValueError, match="resample: got .*, expected JUMP,TIMES"):
            parse_resample(wrong)
    with pytest.raises(ValueError, match=r"resample: got \(0, 2\)"):
        parse_resample("0,2")


# ---- a cascade


@pytest.fixture(scope="module")
def cascade(tiny_config):
    base = tiny_config("mask")
    upsampler = {**base["model"], "type": "Upsampler", "strength": 0.5, "sampler": dict(type="DDIMSampler", steps=4)}
    decoder = {**base["model"]["denoiser"]["decoder"], "image_size": 32, "attention_sizes": (32,), "low_res": True}
    upsampler["denoiser"] = {**base["model"]["denoiser"], "decoder": decoder}
    config = {**base, "model": dict(type="Cascade", base=base["model"], upsampler=upsampler)}
    model = build_model(Config(config), None, "cpu")
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return Translator(model, config)


def test_a_cascade_keeps_the_large_image_byte_for_byte(cascade, label, other):
    large = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    [done] = cascade.stream(other, samples=2, edit=Edit(large, before=label, feather=1))
    assert done.images.shape == (2, 32, 32, 3) and done.low_res.shape == (2, 16, 16, 3)
    near = np.zeros((32, 32), bool)
    near[3:13, 3:13] = True
    for image in done.images:
        assert np.array_equal(image[~near], large[~near])
        assert not (image[4:12, 4:12] == large[4:12, 4:12]).all(axis=2).any()
    small = np.asarray(Image.fromarray(large).resize((16, 16), Image.Resampling.BICUBIC))
    # A level is lost where the base model's image is truncated to bytes.
    assert np.abs(done.low_res[0][8:].astype(int) - small[8:]).max() <= 2
    assert cascade.timing.steps == cascade.timing.calls == 5
    # SDEdit: the base model begins at the reduced image, the upsampler at what that makes of it.
    [done] = cascade.stream(label, edit=Edit(large, strength=0.0))
    assert np.abs(done.low_res[0].astype(int) - small).max() <= 2
    assert cascade.timing.steps == cascade.timing.calls == 2
    with pytest.raises(ValueError, match="low_res and edit: got both in a call, expected one"):
        cascade.edit(label, large, low_res=small)
