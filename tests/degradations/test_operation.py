"""Checks of every degradation, and the promises of every one."""

import numpy as np
import pytest

from pitikit.degradations.operation import DegradationError, Operation, checked_range, checked_whole
from pitikit.registry import DEGRADATIONS, registered

ALONE = {
    "Blur": dict(sigma=(0.0, 2.0)),
    "Sinc": {},
    "Sharpen": {},
    "JPEG": {},
    "Resize": dict(shrink=(1, 8)),
    "Subsample": {},
    "GaussianNoise": {},
    "SpeckleNoise": {},
    "PoissonNoise": {},
    "CameraNoise": {},
    "L0Smooth": {},
    "Sequence": dict(degradations=[dict(type="JPEG")]),
    "RandomOrder": dict(degradations=[dict(type="JPEG"), dict(type="GaussianNoise")]),
    "RandomApply": dict(degradation=dict(type="JPEG")),
    "OneOf": dict(degradations=[dict(type="JPEG"), None]),
    "Downscale": {},
}


def build(name, **arguments):
    return DEGRADATIONS.build(dict(ALONE[name], type=name, **arguments))


def test_every_operation_is_registered_and_tried_here():
    own = {name for name, cls in registered(DEGRADATIONS).items() if cls.__module__.startswith("pitikit.")}
    assert own == set(ALONE)


@pytest.mark.parametrize("name", sorted(ALONE))
def test_operation_alone(name, photo):
    operation = build(name)
    before = photo.copy()
    for seed in range(6):
        made = operation(photo, np.random.default_rng(seed))
        assert made.dtype == np.float32 and made.ndim == 3 and made.shape[2] == 3
        assert made.min() >= 0 and made.max() <= 1
        assert abs(made.mean() - photo.mean()) < 0.06, "no operation makes an image darker or brighter"
        assert np.array_equal(made, operation(photo, np.random.default_rng(seed)))
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("name", sorted(ALONE))
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_stays_black_and_white_white(name, value, rng):
    made = build(name)(np.full((32, 24, 3), value, np.float32), rng)
    assert abs(made.mean() - value) < 0.12


@pytest.mark.parametrize("name", sorted(ALONE))
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p: (p * 255).astype(np.uint8), "given uint8.* / 255"),
        (lambda p: p * 255, "values from 0 to 255.*divide by 255"),
        (lambda p: p * 2 - 1, r"values from -1 to 1.*\[-1, 1\]"),
        (lambda p: p + 0.5, "values from 0.5 to 1.5"),
        (lambda p: np.where(p > 0.5, np.nan, p), "nan"),
        (lambda p: p.astype(np.float64), "float64"),
        (lambda p: p[..., 0], r"shape of \(32, 32\)"),
        (lambda p: p[..., :2], r"shape of \(32, 32, 2\)"),
        (lambda p: p.transpose(2, 0, 1), r"shape of \(3, 32, 32\)"),
        (lambda p: p[:0], "shape of"),
        (lambda p: p.tolist(), "given a list"),
    ],
)
def test_what_is_no_image_is_refused(name, wrong, words):
    image = np.linspace(0, 1, 32 * 32 * 3, dtype=np.float32).reshape(32, 32, 3)
    with pytest.raises(DegradationError, match=f"{name}: .*{words}"):
        build(name)(wrong(image), np.random.default_rng(0))


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0)])
def test_a_generator_is_asked_for(rng, photo):
    with pytest.raises(DegradationError, match="JPEG: rng is a .*default_rng"):
        build("JPEG")(photo, rng)


@pytest.mark.parametrize(
    "config",
    [
        dict(type="Blur"),
        dict(type="Blur", sigma=1, variance=1),
        dict(type="Blur", sigma=(2, 1)),
        dict(type="Blur", sigma=-1),
        dict(type="Blur", sigma="wide"),
        dict(type="Blur", sigma=1, kind="round"),
        dict(type="Blur", sigma=1, profile="flat"),
        dict(type="Blur", sigma=1, size=0),
        dict(type="Blur", sigma=1, size=(3, 5, 0)),
        dict(type="Blur", sigma=1, size=2.5),
        dict(type="JPEG", quality=(0, 50)),
        dict(type="JPEG", quality=(90, 101)),
        dict(type="Resize"),
        dict(type="Resize", scale=0.5, size=64),
        dict(type="Resize", size="large"),
        dict(type="Resize", size=(64, 0)),
        dict(type="Resize", scale=0.5, interpolations=["lanczos"]),
        dict(type="Resize", scale=0.5, interpolations=[]),
        dict(type="Subsample", scale=0),
        dict(type="Subsample", size=24),
        dict(type="GaussianNoise", level=300),
        dict(type="GaussianNoise", colour=0.7, grey=0.7),
        dict(type="GaussianNoise", level=(1, 2.5), whole=True),
        dict(type="PoissonNoise", peak=0),
        dict(type="L0Smooth", strength=0),
        dict(type="L0Smooth", kappa=1),
        dict(type="RandomApply", degradation=dict(type="JPEG"), prob=1.5),
        dict(type="RandomApply", degradation=3),
        dict(type="Sequence", degradations=[]),
        dict(type="Sequence", degradations=dict(type="JPEG")),
        dict(type="RandomOrder", degradations=[dict(type="JPEG")], keep=[(0, 1)]),
        dict(type="RandomOrder", degradations=[dict(type="JPEG")] * 2, keep=[(0, 1), (1,)]),
        dict(type="OneOf", degradations=[dict(type="JPEG")], weights=[0.0]),
        dict(type="OneOf", degradations=[dict(type="JPEG")], weights=[1, 2]),
        dict(type="Downscale", scale=2.5),
        dict(type="Downscale", scale=0),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_when_built(config):
    # The registry refuses values of another type than the signature names, the degradation those out of range.
    place = "RandomApply.degradation: found 3; expected a dict" if config.get("degradation") == 3 else config["type"]
    with pytest.raises((DegradationError, TypeError), match=place):
        DEGRADATIONS.build(config)


def test_unknown_names_are_told():
    with pytest.raises(KeyError, match="L0Smooth"):
        DEGRADATIONS.build(dict(type="L0Smoth"))
    with pytest.raises(TypeError, match="quality"):
        DEGRADATIONS.build(dict(type="JPEG", qualty=3))


def test_ranges():
    assert checked_range("a", 2, 0, 3) == (2.0, 2.0)
    assert list(checked_whole("a", (7, 11, 2), 0, 20)) == [7, 9, 11]
    assert list(checked_whole("a", 4, 0, 20)) == [4]
    assert list(checked_whole("a", (4, 6), 0, 20)) == [4, 5, 6]


def test_a_result_beyond_the_range_is_clipped_and_a_plugins_is_checked(photo, rng):
    class Brighter(Operation):
        def apply(self, image, rng, final):
            return image + 0.5

    assert Brighter()(photo, rng).max() == 1
    run = DEGRADATIONS.build(dict(type="Sequence", degradations=[lambda image, rng: image * 300]))
    with pytest.raises(DegradationError, match="result of .*values from 0 to 300"):
        run(photo, rng)
    same = DEGRADATIONS.build(dict(type="Sequence", degradations=[lambda image, rng: image[::2, ::2]]))
    assert np.array_equal(same(photo, rng), photo[::2, ::2])
