import gzip
import json
from pathlib import Path

import pytest

from pitikit.networks.checkpoint_keys import (
    KINDS,
    CheckpointMismatch,
    decoder_shapes,
    differences,
    fitting_kinds,
    plan_keys,
)

LISTS = json.loads(gzip.decompress((Path(__file__).parents[1] / "data" / "released_keys.json.gz").read_bytes()))
GLIDE = {
    "glide-base": "glide_base",
    "glide-upsample": "glide_upsample",
    "glide-base-inpaint": "glide_base_inpaint",
    "glide-upsample-inpaint": "glide_upsample_inpaint",
}
PITI = {"piti-base": "piti_base64", "piti-upsample": "piti_upsample256"}
MODES = {"coco": 3, "coco-edge": 1, "depth-normal": 6}
RELEASED = {
    **GLIDE,
    **{f"{kind} {mode}": f"{name}_{mode}" for kind, name in PITI.items() for mode in MODES},
}


def shapes_of(name):
    return {key: tuple(shape) for key, shape in LISTS[name].items()}


def values(shapes):
    total = 0
    for shape in shapes:
        count = 1
        for side in shape:
            count *= side
        total += count
    return total


@pytest.mark.parametrize("kind", GLIDE)
def test_a_glide_checkpoint_is_a_decoder_and_a_text_encoder(kind):
    shapes = shapes_of(GLIDE[kind])
    plan = plan_keys(kind, shapes)
    assert len(plan.dropped) == 197
    assert values(shapes[name] for name in plan.dropped) == 76_301_824
    assert len(plan.names) == (600 if "upsample" in kind else 586)
    assert all(new == f"decoder.{old}" for old, new in plan.names.items())
    # The projection of the pooled text belongs to the decoder in spite of its name.
    assert "transformer_proj.weight" in plan.names
    whole = plan_keys(kind, shapes, with_text_encoder=True)
    assert set(whole.names) == set(shapes) and not whole.dropped
    assert whole.names["final_ln.weight"] == "encoder.final_ln.weight"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", PITI)
def test_a_piti_checkpoint_keeps_its_names(kind, mode):
    shapes = shapes_of(f"{PITI[kind]}_{mode}")
    plan = plan_keys(kind, shapes)
    assert plan.names == {name: name for name in shapes}
    assert plan.condition_channels == MODES[mode]
    assert not plan.encoder_only
    with pytest.raises(ValueError, match="no text encoder"):
        plan_keys(kind, shapes, with_text_encoder=True)


@pytest.mark.parametrize("mode", MODES)
def test_a_stage_1_checkpoint_is_recognised(mode):
    prefix = "encoder."
    shapes = {
        name.removeprefix(prefix): shape
        for name, shape in shapes_of(f"piti_base64_{mode}").items()
        if name.startswith(prefix)
    }
    plan = plan_keys("piti-base", shapes)
    assert plan.encoder_only and plan.condition_channels == MODES[mode]
    assert plan.names["cls_token"] == "encoder.cls_token"
    with pytest.raises(CheckpointMismatch, match="stage 1"):
        plan_keys("glide-base", shapes)


def test_every_list_fits_its_kind_alone():
    for label, name in RELEASED.items():
        assert fitting_kinds(shapes_of(name)) == [label.split()[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_kind_is_told_which_one_fits(kind):
    for label, name in RELEASED.items():
        right = label.split()[0]
        if right != kind:
            with pytest.raises(CheckpointMismatch, match=f"it fits '{right}'"):
                plan_keys(kind, shapes_of(name))


def test_any_difference_is_an_error_that_names_it():
    shapes = shapes_of("piti_base64_coco")
    less = {name: shape for name, shape in shapes.items() if name != "encoder.cls_token"}
    with pytest.raises(CheckpointMismatch, match=r"1 missing \(encoder\.cls_token\)"):
        plan_keys("piti-base", less)
    with pytest.raises(CheckpointMismatch, match=r"1 unexpected \(more\)"):
        plan_keys("piti-base", {**shapes, "more": (1,)})
    with pytest.raises(CheckpointMismatch, match=r"decoder\.out\.2\.bias \(3,\), expected \(6,\)"):
        plan_keys("piti-base", {**shapes, "decoder.out.2.bias": (3,)})
    with pytest.raises(CheckpointMismatch, match="missing"):
        plan_keys("glide-base", {})


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="did you mean 'glide-base'"):
        plan_keys("glide_base", {})


def test_long_differences_are_shortened():
    text = differences({f"a{i}": (1,) for i in range(9)}, {})
    assert text == "9 missing (a0, a1, a2, ...)"
    assert differences({"a": (1,)}, {"a": (1,)}) == ""


def test_the_upsampler_arguments_are_the_released_ones():
    found = decoder_shapes("glide-upsample")
    expected = shapes_of("piti_upsample256_coco")
    decoder = {n[8:]: s for n, s in expected.items() if n.startswith("decoder.")}
    assert found == decoder
