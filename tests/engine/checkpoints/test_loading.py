"""Weights into a network: everything fits, or nothing is loaded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pitikit.engine.checkpoints.loading import load_weights, read_weights
from pitikit.weights import WeightsError, save_checkpoint_file, save_weights


def network(width=3):
    return nn.ModuleDict(dict(encoder=nn.Linear(3, width), decoder=nn.Linear(width, 3)))


@pytest.fixture
def file(tmp_path):
    """A file of weights, and what is in it."""
    torch.manual_seed(1)
    state = network().state_dict()
    return save_weights(tmp_path / "w.safetensors", state), state


def changed(file, tmp_path, drop=(), **extra):
    state = {name: value for name, value in file[1].items() if name not in drop}
    return save_weights(tmp_path / "changed.safetensors", {**state, **extra})


def test_everything_is_loaded(file):
    model = network()
    assert load_weights(model, file[0]) == []
    assert all(torch.equal(value, file[1][name]) for name, value in model.state_dict().items())


def test_the_decoder_alone(file):
    model = network()
    encoder = model["encoder"].weight.clone()
    assert load_weights(model, file[0], ["decoder"]) == ["encoder"]
    assert torch.equal(model["encoder"].weight, encoder)
    assert torch.equal(model["decoder"].weight, file[1]["decoder.weight"])


@pytest.mark.parametrize("parts", [None, ["decoder"]])
@pytest.mark.parametrize(
    ("drop", "extra", "message"),
    [
        (["decoder.bias"], {}, "1 tensors missing, such as 'decoder.bias'"),
        ([], {"decoder.more": torch.ones(1)}, "1 left over, such as 'decoder.more'"),
        ([], {"decoder.bias": torch.ones(5)}, r"decoder.bias: \(5,\) in the file, \(3,\) in the network"),
    ],
)
def test_strict_both_ways_and_nothing_is_loaded(file, tmp_path, parts, drop, extra, message):
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = changed(file, tmp_path, drop, **extra)
    with pytest.raises(WeightsError, match=message) as error:
        load_weights(model, path, parts)
    assert str(path) in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_parts_that_are_not_asked_for_may_be_anything(file, tmp_path):
    path = changed(file, tmp_path, ["encoder.bias"], **{"encoder.token": torch.ones(2)})
    assert load_weights(network(), path, ["decoder"]) == ["encoder"]
    with pytest.raises(WeightsError, match="missing.*left over"):
        load_weights(network(), path)


def test_unknown_part(file):
    with pytest.raises(WeightsError, match="'deocder' is not a part.*encoder, decoder"):
        load_weights(network(), file[0], ["deocder"])


def test_checkpoint_gives_its_average_or_its_denoiser(tmp_path):
    state = network().state_dict()
    inside = {"denoiser." + name: value + 1 for name, value in state.items()}
    checkpoint = {"state_dict": {**inside, "timestep_sampler.losses": torch.ones(2)}, "ema": state}
    found = read_weights(save_checkpoint_file(tmp_path / "a.pth", checkpoint))
    assert found.keys() == state.keys() and torch.equal(found["encoder.bias"], state["encoder.bias"])
    del checkpoint["ema"]
    found = read_weights(save_checkpoint_file(tmp_path / "b.pth", checkpoint))
    assert found.keys() == state.keys() and torch.equal(found["encoder.bias"], state["encoder.bias"] + 1)


def test_half_precision_is_read_as_float32(tmp_path):
    path = save_weights(tmp_path / "h.safetensors", network().state_dict(), dtype=torch.float16)
    assert {value.dtype for value in read_weights(path).values()} == {torch.float32}


def test_what_was_mixed_up_is_guessed(tmp_path):
    def modal(channels, name="cnn"):
        return nn.ModuleDict(dict(encoder=nn.ModuleDict({name: nn.Conv2d(channels, 4, 3)}), decoder=nn.Linear(2, 2)))

    meta = dict(config="/somewhere/piti_small_sketch.py")
    path = save_weights(tmp_path / "s.safetensors", modal(1).state_dict(), meta)
    with pytest.raises(WeightsError, match="conditions have 1 channels, those of the config have 3") as caught:
        load_weights(modal(3), path)
    assert str(caught.value).endswith("it was written by a training of 'piti_small_sketch'")
    with pytest.raises(WeightsError, match="its encoder is of another kind"):
        load_weights(modal(1, "text"), path)


def test_foreign_safetensors_with_a_valid_header(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"visual.proj": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match="4 tensors missing.*1 left over, such as 'visual.proj'"):
        load_weights(network(), Path(path))


def test_a_file_without_tensors_of_a_denoiser(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="holds no tensors of a denoiser .*'epoch'"):
        read_weights(save_checkpoint_file(tmp_path / "e.pth", {"epoch": 3}))
