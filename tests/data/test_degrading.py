"""The transform that writes low_res."""

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.config import load_config
from pitikit.data.degrading import Degrade, LoadLowRes
from pitikit.data.errors import DataError
from pitikit.data.transforms import LoadImage, PackInputs, RandomFlip, ResizePair, resize_image
from pitikit.degradations.operation import DegradationError
from pitikit.registry import TRANSFORMS
from pitikit.scenes import SceneWorld

NOISY = dict(type="Downscale", scale=4, degradation=dict(type="GaussianNoise", level=20))


@pytest.fixture(scope="module")
def photo(repo):
    return np.asarray(Image.open(repo / "tests/data/fixtures/china256.png").convert("RGB"))


def run(image, *steps, seed=0):
    results = dict(id="a7", sources=dict(image=image), rng=np.random.default_rng(seed))
    for step in steps:
        results = step(results)
    return results


def test_low_res_is_packed_beside_the_image(photo):
    step = TRANSFORMS.build(dict(type="Degrade", degradation=NOISY, size=64))
    for keep in ((), ("low_res",)):
        sample = run(photo, LoadImage(), step, PackInputs(keep=keep))
        assert sample["low_res"].shape == (3, 64, 64) and sample["low_res"].dtype == torch.uint8
        assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), photo), "the image stays"
    small = resize_image(photo, 64).transpose(2, 0, 1).astype(int)
    assert 2 < np.abs(sample["low_res"].numpy() - small).mean() < 30


def test_plain_low_res_is_what_a_base_model_is_trained_on(photo):
    made = run(photo, LoadImage(), ResizePair(256, 256), Degrade(), PackInputs())["low_res"]
    base = run(photo, LoadImage(), ResizePair(256, 64), PackInputs())["image"]
    assert torch.equal(made, base)


def test_one_draw_has_one_low_res(photo):
    step = Degrade(NOISY)
    same = [run(photo, LoadImage(), step, seed=s)["low_res"] for s in (3, 3, 4)]
    assert np.array_equal(same[0], same[1]) and not np.array_equal(same[0], same[2])


def test_workers_and_passes():
    pipeline = [LoadImage(), Degrade(NOISY, 16)]
    world = SceneWorld(3, size=64, members=["image"], pipeline=pipeline)
    first = [world[i]["low_res"] for i in range(3)]
    again = SceneWorld(3, size=64, members=["image"], pipeline=pipeline)
    assert all(np.array_equal(again[i]["low_res"], first[i]) for i in (2, 0, 1))
    again.set_epoch(1)
    assert not np.array_equal(again[0]["low_res"], first[0])


def test_a_flip_after_it_moves_low_res_too(photo):
    plain = run(photo, LoadImage(), Degrade(), PackInputs())
    late = run(photo, LoadImage(), Degrade(), RandomFlip(1.0), PackInputs())
    assert torch.equal(late["low_res"], plain["low_res"].flip(-1))
    assert torch.equal(late["image"], plain["image"].flip(-1))


def test_bytes_are_rounded():
    image = np.full((8, 8, 3), 200, np.uint8)
    for more, level in ((0.4, 200), (0.6, 201)):
        step = Degrade(lambda image, rng, more=more: image[:4, :4] + np.float32(more / 255), 4)
        assert (run(image, LoadImage(), step)["low_res"] == level).all()


def test_errors_name_the_item_and_what_to_do(photo):
    cases = [
        ((LoadImage(), Degrade(dict(type="Downscale", scale=5))), "scale=5 does not divide"),
        ((LoadImage(), Degrade(dict(type="JPEG"))), "256, 256.*Downscale"),
        ((LoadImage(), Degrade(dict(type="Resize", size="final"))), "'final'"),
        ((LoadImage(), ResizePair(64, 32), Degrade()), "32×32.*image_size"),
        ((Degrade(),), "LoadImage"),
    ]
    for steps, words in cases:
        with pytest.raises(DataError, match=f"'a7'.*{words}"):
            run(photo, *steps)
    with pytest.raises(DataError, match="square"):
        run(photo[:, :128], LoadImage(), Degrade())
    with pytest.raises(ValueError, match="size=0"):
        Degrade(size=0)
    with pytest.raises(DegradationError):
        Degrade(degradation=7)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda image: image[:64, :64] * 3, "values from"),
        (lambda image: image[:64, :64] * np.float32(np.nan), "values from nan"),
        (lambda image: (image[:64, :64] * 255).astype(np.uint8), "uint8"),
        (lambda image: None, "NoneType"),
    ],
)
def test_what_a_degradation_makes_is_checked(photo, made, words):
    def wear(image, rng):
        return made(image)

    with pytest.raises(DataError, match=f"'a7'.*the result of wear: given .*{words}"):
        run(photo, LoadImage(), Degrade(wear))


def test_a_config_takes_a_recipe_by_name(repo, tmp_path):
    config = tmp_path / "c.py"
    config.write_text(
        f"_base_ = ['{repo}/configs/_base_/degradations/bsr_light.py']\n"
        "train_dataloader = dict(dataset=dict(type='SceneWorld', length=2, size=256, members=['image'], pipeline=[\n"
        "    dict(type='LoadImage'), dict(type='Degrade', degradation={{_base_.degradation}}, size=64),\n"
        "    dict(type='PackInputs')]))\n"
    )
    cfg = load_config(config)
    dataset = dict(cfg.train_dataloader["dataset"])
    dataset.pop("type")
    sample = SceneWorld(**dataset)[0]
    assert sample["low_res"].shape == (3, 64, 64) and sample["image"].shape == (3, 256, 256)


def low_res_of_a_base_model(folder, photo):
    (folder / "images").mkdir(exist_ok=True)
    image = 255 - resize_image(photo, 64)
    Image.fromarray(image).save(folder / "images/a7.png")
    return image, str(folder / "images/{id}.png")


def test_images_of_a_base_model_by_id(photo, tmp_path):
    image, path = low_res_of_a_base_model(tmp_path, photo)
    for prob in (0.0, 1.0):
        flipped = run(photo, LoadImage(), RandomFlip(prob), LoadLowRes(path), PackInputs())["low_res"]
        expected = image[:, ::-1] if prob else image
        assert np.array_equal(flipped.permute(1, 2, 0).numpy(), expected)


def test_a_share_of_the_draws_takes_them(photo, tmp_path):
    image, path = low_res_of_a_base_model(tmp_path, photo)
    steps = [LoadImage(), ResizePair(256, 256), Degrade(), LoadLowRes(path, prob=0.25)]
    taken = [np.array_equal(run(photo, *steps, seed=seed)["low_res"], image) for seed in range(40)]
    assert 4 <= sum(taken) <= 17 and taken == [
        np.array_equal(run(photo, *steps, seed=seed)["low_res"], image) for seed in range(40)
    ]


def test_a_base_model_s_image_is_missing_or_of_another_size(photo, tmp_path):
    _, path = low_res_of_a_base_model(tmp_path, photo)
    with pytest.raises(DataError, match="64×64 pixels; expected 32×32"):
        run(photo, LoadImage(), LoadLowRes(path, size=32))
    with pytest.raises(DataError, match="no image of a base model.*cache_low_res"):
        run(photo, LoadImage(), LoadLowRes(str(tmp_path / "other/{id}.png")))
    with pytest.raises(DataError, match="no low_res to keep"):
        run(photo, LoadImage(), LoadLowRes(path, prob=0.0))
    for wrong in (dict(path="images/a.png"), dict(path=path, prob=1.5)):
        with pytest.raises(ValueError, match="expected"):
            LoadLowRes(**wrong)


def test_images_of_a_base_model_in_another_format(photo, tmp_path):
    image, path = low_res_of_a_base_model(tmp_path, photo)
    (found,) = tmp_path.rglob("*.png")
    found.rename(found.with_suffix(".PNG"))
    assert np.array_equal(run(photo, LoadImage(), LoadLowRes(path), PackInputs())["low_res"].permute(1, 2, 0), image)
    Image.open(found.with_suffix(".PNG")).save(found.with_suffix(".bmp"))
    found.with_suffix(".PNG").unlink()
    assert np.array_equal(run(photo, LoadImage(), LoadLowRes(path), PackInputs())["low_res"].permute(1, 2, 0), image)
