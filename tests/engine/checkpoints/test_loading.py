"""Weights into a network: everything fits, or nothing is loaded."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pitikit.engine.checkpoints.loading import files_of, load_parts, load_state, load_weights, read_weights
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
        layers = {name: nn.Conv2d(channels, 4, 3), f"{name}_too": nn.Conv2d(channels, 4, 3)}
        return nn.ModuleDict(dict(encoder=nn.ModuleDict(layers), decoder=nn.Linear(2, 2)))

    meta = dict(config="/somewhere/piti_small_sketch.py")
    path = save_weights(tmp_path / "s.safetensors", modal(1).state_dict(), meta)
    hint = "its conditions have 1 channels, those of the config have 3: another modality?"
    with pytest.raises(WeightsError) as caught:
        load_weights(modal(3), path)
    remedy = "it was written by a training of 'piti_small_sketch'; take weights of this config, or train it"
    # Once, and not for each layer.
    assert str(caught.value).endswith(f"in the network; {hint}; {remedy}")
    whole = nn.ModuleDict(dict(denoiser=modal(3)))
    with pytest.raises(WeightsError, match=re.escape(f"in the network; {hint}") + "$"):
        load_state(whole, {f"denoiser.{name}": value for name, value in modal(1).state_dict().items()})
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


# ---- parts from several files, and files of other programs


def state(offset=0.0, module=None):
    torch.manual_seed(5)
    return {name: value + offset for name, value in (module or network()).state_dict().items()}


def part(name, values):
    return {key.partition(".")[2]: value for key, value in values.items() if key.startswith(name)}


def prefixed(prefix, values):
    return {prefix + name: value for name, value in values.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda values: {"state_dict": prefixed("module.", values)},
        lambda values: {"params": state(9.0), "params_ema": values},
        lambda values: prefixed("_orig_mod.denoiser.", values),
        lambda values: {"state_dict": prefixed("model.", values), "optimizer": {}},
        lambda values: {name.replace("coder.", "coder.module."): value for name, value in values.items()},
    ],
)
def test_weights_of_wrapped_networks(tmp_path, wrap):
    expected, model = state(1.0), network()
    assert load_weights(model, save_checkpoint_file(tmp_path / "w.pth", wrap(expected))) == []
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_wrapped_weights_are_loaded_strictly(tmp_path):
    path = save_checkpoint_file(tmp_path / "w.pth", prefixed("module.", {**state(), "decoder.more": torch.ones(1)}))
    with pytest.raises(WeightsError, match="1 left over, such as 'decoder.more'"):
        load_weights(network(), path)


def test_the_prefix_of_a_network_beside_others_is_advised(tmp_path):
    values = state(1.0)
    path = save_checkpoint_file(tmp_path / "w.pth", {**prefixed("unet.", values), "vae.a": torch.ones(1)})
    with pytest.raises(
        WeightsError, match=r"all are there under 'unet\.': load_from=(dict\(.*\)) takes them"
    ) as caught:
        load_weights(network(), path)
    advised = re.search(r"load_from=(dict\(.*\)) takes", str(caught.value))[1].replace("...", repr(str(path)))
    model = network()
    load_parts(model, eval(advised))
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())


def forms(tmp_path, values):
    """Starts that all mean the same weights: of the encoder, and of the decoder."""
    encoder, decoder = part("encoder.", values), part("decoder.", values)
    whole = save_weights(tmp_path / "whole.safetensors", values)
    names = save_checkpoint_file(tmp_path / "names.pth", decoder)
    inner = save_checkpoint_file(
        tmp_path / "inner.pt", {"model": {**prefixed("unet.", decoder), "vae.a": torch.ones(1)}}
    )
    outer = save_checkpoint_file(tmp_path / "outer.pt", prefixed("net.decoder.", decoder))
    alone = save_weights(tmp_path / "alone.safetensors", prefixed("encoder.", encoder))
    return [
        dict(encoder=str(whole), decoder=str(names)),
        dict(encoder=str(alone), decoder=dict(path=str(whole))),
        dict(encoder=str(whole), decoder=dict(path=str(inner), prefix="unet.")),
        dict(encoder=str(whole), decoder=dict(path=str(outer), prefix="net.decoder.")),
        dict(encoder=str(whole), decoder=str(outer)),
        dict(path=str(whole)),
    ]


@pytest.mark.parametrize("form", range(6))
def test_parts_from_several_files(tmp_path, form):
    expected, model = state(2.0), network()
    start = forms(tmp_path, expected)[form]
    (line,) = load_parts(model, start)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert all(file in line for file in files_of(start))


def test_a_part_that_is_not_named_stays(tmp_path):
    model, before = network(), state()
    model.load_state_dict(before)
    path = str(save_weights(tmp_path / "w.safetensors", state(1.0)))
    for start, parts in ((dict(decoder=path), None), (dict(path=path), ["decoder"])):
        load_parts(model, start, parts)
        assert torch.equal(model["encoder"].weight, before["encoder.weight"])
        assert torch.equal(model["decoder"].weight, before["decoder.weight"] + 1)


def grown():
    return nn.ModuleDict(
        dict(encoder=nn.Linear(3, 3), decoder=nn.ModuleDict(dict(adapter=nn.Linear(2, 2), out=nn.Linear(3, 3))))
    )


def test_new_layers_are_allowed_by_name(tmp_path):
    torch.manual_seed(6)
    model, target = grown(), state(3.0, grown())
    old = {name: value for name, value in target.items() if "adapter" not in name}
    path = str(save_weights(tmp_path / "w.safetensors", old))
    for allow in ("decoder.adapter.*", ["*.adapter.weight", "*.adapter.bias"]):
        before = model["decoder"]["adapter"].weight.clone()
        lines = load_parts(model, dict(path=path, allow_new=allow))
        assert lines[1] == "new: 2 tensors stay as initialised, such as 'decoder.adapter.weight'"
        assert torch.equal(model["decoder"]["adapter"].weight, before)
        assert torch.equal(model["decoder"]["out"].weight, target["decoder.out.weight"])
    # A layer that the file has is not new.
    path = str(save_weights(tmp_path / "all.safetensors", target))
    assert len(load_parts(model, dict(path=path, allow_new="decoder.adapter.*"))) == 1
    assert torch.equal(model["decoder"]["adapter"].weight, target["decoder.adapter.weight"])


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (
            dict(decoder="w", allow_new=["*.adaptr.*"]),
            r"allow_new: '\*\.adaptr\.\*' fits no tensor of decoder; .*'decoder.adapter",
        ),
        (dict(path="w", allow_new=["decoder.adapter.weight"]), "1 tensors missing, such as 'decoder.adapter.bias'"),
        (dict(path="w", decoder="w"), "expected either path= of one file, or a file for each of encoder, decoder"),
        (dict(allow_new=["*"]), "got allow_new, expected either path="),
        (dict(deocder="w"), "load_from: 'deocder' is not a part of the denoiser; known: encoder, decoder"),
        (dict(decoder=dict(prefix="a.")), r"load_from\.decoder: got no path"),
        (dict(encoder="absent.pth"), "absent.pth: no such file.*looked for"),
        (
            dict(encoder=dict(path="w", prefix="vae.")),
            r"no name begins with prefix='vae\.'; its names begin with decoder\.,",
        ),
    ],
)
def test_parts_that_do_not_fit(tmp_path, monkeypatch, start, words):
    monkeypatch.chdir(tmp_path)
    model, before = grown(), state(0.0, grown())
    model.load_state_dict(before)
    save_weights("w", {name: value + 1 for name, value in before.items() if "adapter" not in name})
    with pytest.raises(WeightsError, match=words):
        load_parts(model, start)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_files_of_a_start():
    assert files_of(None) == [] and files_of("a") == ["a"]
    assert files_of(dict(encoder="a", decoder=dict(path="b", prefix="c"), allow_new=["d"])) == ["a", "b"]
    assert files_of(dict(path="a", prefix="b")) == ["a"]


def test_a_part_of_the_encoder_takes_the_file_s_encoder(file, tmp_path):
    def dual():
        parts = nn.ModuleDict(dict(condition=nn.Linear(3, 3), text=nn.Linear(3, 3)))
        return nn.ModuleDict(dict(encoder=parts, decoder=nn.Linear(3, 3)))

    model = dual()
    before = model["encoder"]["condition"].weight.clone()
    assert load_weights(model, file[0], ["decoder", "encoder.text"]) == []
    assert torch.equal(model["encoder"]["text"].weight, file[1]["encoder.weight"])
    assert torch.equal(model["decoder"].weight, file[1]["decoder.weight"])
    assert torch.equal(model["encoder"]["condition"].weight, before)
    # A file of the same model has the part under its own name.
    own = save_weights(tmp_path / "own.safetensors", model.state_dict())
    other = dual()
    load_weights(other, own, ["encoder.text"])
    assert torch.equal(other["encoder"]["text"].weight, model["encoder"]["text"].weight)
    with pytest.raises(WeightsError, match=r"'encoder\.txt' is not a part .*; did you mean 'encoder\.text'"):
        load_weights(model, file[0], ["encoder.txt"])
