"""Files of weights: what is read, what is refused, and with which words."""

import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pitikit.weights import (
    DamagedFileError,
    WeightsError,
    find_downloaded,
    read_checkpoint,
    read_header,
    read_tensors,
    read_weights,
    save_checkpoint_file,
    save_on_prior,
    save_weights,
)


def test_tensors_of_both_kinds_of_file(tmp_path):
    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        assert torch.equal(read_checkpoint(tmp_path / name)["a"], state["a"])
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(ValueError, match=name):
            read_checkpoint(tmp_path / name)


def test_a_pickle_is_not_run(tmp_path):
    torch.save({"a": pytest.Mark}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")


def test_what_was_downloaded_earlier(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_downloaded("*.pth") is None
    (tmp_path / "checkpoints").mkdir()
    assert find_downloaded("net-*.pth") is None
    (tmp_path / "checkpoints" / "net-1.pth").touch()
    assert find_downloaded("net-*.pth").name == "net-1.pth"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated(tmp_path, suffix, share):
    path = tmp_path / f"w{suffix}"
    state = {"decoder.weight": torch.randn(100, 100)}
    save_checkpoint_file(path, state) if suffix == ".pth" else save_weights(path, state)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    words = "an empty file" if share == 0 else "truncated PyTorch" if suffix == ".pth" else "damaged or not a file of"
    with pytest.raises(DamagedFileError, match=words):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(64), r"an image \(PNG\)"),
        (b"\xff\xd8\xff\xe0" + bytes(64), r"an image \(JPEG\)"),
        (b"name = 'config'\n" * 9, "a text file"),
        (b"<html>error 404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (bytes(range(256)), "not a file of weights"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_foreign_file(tmp_path, content, words, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=words) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_file_but_may_hold_some(tmp_path):
    with pytest.raises(WeightsError, match="is a folder; expected a file of weights$"):
        read_checkpoint(tmp_path)
    (tmp_path / "ema.safetensors").touch()
    with pytest.raises(WeightsError, match="such as ema.safetensors in it"):
        read_checkpoint(tmp_path)


def test_the_content_tells_safetensors_not_the_name(tmp_path):
    path = save_weights(tmp_path / "w.pth", {"a": torch.ones(2)})
    assert read_checkpoint(path).keys() == {"a"}


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["torch", "legacy", "pickle"])
def test_code_is_never_run(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"a": Bomb()}))
    else:
        torch.save({"a": Bomb()}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(WeightsError, match="refused, it holds more than tensors.*(system|Unsupported)"):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_not_a_dictionary(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="expected a dictionary of tensors, found list"):
        read_checkpoint(tmp_path / "list.pth")


def test_header(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)}, dict(classes=["x", "y"], config="a.py"))
    assert read_header(path) == dict(classes=["x", "y"], config="a.py")
    assert read_header(save_checkpoint_file(tmp_path / "w.pth", {"a": 1})) == {}


def test_equal_weights_are_equal_files(tmp_path):
    state = {"b": torch.arange(3.0), "a": torch.ones(2, 2)}
    metadata = {f"größe {number}": [number, '\n\x7f/"é'] for number in range(9)}
    paths = [save_weights(tmp_path / f"{number}.safetensors", state, metadata) for number in range(3)]
    assert len({path.read_bytes() for path in paths}) == 1
    assert read_header(paths[0]) == metadata
    assert all(torch.equal(value, state[name]) for name, value in read_weights(paths[0]).items())
    plain = save_weights(tmp_path / "plain.safetensors", state)
    assert read_header(plain) == {} and set(read_weights(plain)) == set(state)


# ---- files of other programs

STATE = {"encoder.weight": torch.arange(3.0), "decoder.bias": torch.ones(1)}
OTHER = {name: value - 1 for name, value in STATE.items()}


def prefixed(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


@pytest.fixture
def said(monkeypatch):
    """Lines that reading has logged."""
    lines = []
    monkeypatch.setattr("pitikit.weights.print_log", lambda text, logger: lines.append(text))
    return lines


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        (STATE, None),
        (prefixed("module."), "removed the prefix 'module.'"),
        (prefixed("_orig_mod."), "removed the prefix '_orig_mod.'"),
        (
            prefixed("module._orig_mod.model."),
            "removed the prefix 'module.'; removed the prefix '_orig_mod.'; .*'model.'",
        ),
        (prefixed("net."), "removed the prefix 'net.'"),
        ({"state_dict": STATE, "epoch": 3}, "took 'state_dict' of the file$"),
        ({"model": prefixed("module."), "optimizer": {"state": {0: {"a": torch.ones(1)}}}}, "took 'model' .*'module.'"),
        ({"net": STATE, "acc": 0.5}, "took 'net' of the file"),
        ({"ema": STATE}, "took 'ema' of the file"),
        ({"params": OTHER, "params_ema": STATE}, "took 'params_ema' of the file, not 'params'"),
        ({"model": {"state_dict": STATE}}, "took 'model' of the file; took 'state_dict' of the file"),
        (
            {"state_dict": OTHER, "state_dict_ema": prefixed("module.")},
            "took 'state_dict_ema' of the file, not 'state_dict'",
        ),
        ({"model": OTHER, "ema": {"module": STATE, "decay": 0.99}}, "took 'ema' .*, not 'model'; took 'module' of the"),
        ({"n_averaged": torch.tensor(4), **prefixed("module.")}, "left out 'n_averaged'; removed the prefix 'module.'"),
        ({name.replace(".", "._orig_mod."): value for name, value in STATE.items()}, "removed '_orig_mod.' from names"),
    ],
)
def test_wrappers_are_taken_off_and_named(tmp_path, said, checkpoint, words):
    found = read_tensors(save_checkpoint_file(tmp_path / "w.pth", checkpoint))
    assert found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)
    assert len(said) == (words is not None)
    assert words is None or re.search(words, said[0]), said


def test_what_the_network_calls_so_stays(tmp_path, said):
    path = save_checkpoint_file(tmp_path / "w.pth", prefixed("model."))
    assert read_tensors(path, wanted=prefixed("model.")).keys() == prefixed("model.").keys() and not said
    assert read_tensors(path, wanted=STATE).keys() == STATE.keys()
    path = save_checkpoint_file(tmp_path / "w.pth", {"a.module.b": torch.ones(1), "model.c": torch.ones(1)})
    assert set(read_tensors(path)) == {"a.module.b", "model.c"}
    assert set(read_tensors(path, wanted=("a.b", "model.c"))) == {"a.b", "model.c"}
    # Two names would become one.
    path = save_checkpoint_file(tmp_path / "w.pth", {"a._orig_mod.b": torch.ones(1), "a.b": torch.ones(1)})
    assert set(read_tensors(path)) == {"a._orig_mod.b", "a.b"}


def test_a_prefix_of_choice(tmp_path):
    path = save_checkpoint_file(tmp_path / "w.pth", {"model": {**prefixed("unet."), **prefixed("module.", OTHER)}})
    assert torch.equal(read_tensors(path, prefix="unet.")["decoder.bias"], STATE["decoder.bias"])
    with pytest.raises(
        WeightsError, match=r"no name begins with prefix='vae\.'; its names begin with module\., unet\."
    ):
        read_tensors(path, prefix="vae.")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_called_safetensors_and_the_other_way_round(tmp_path, said, legacy):
    torch.save(STATE, tmp_path / "w.safetensors", _use_new_zipfile_serialization=not legacy)
    assert read_checkpoint(tmp_path / "w.safetensors").keys() == STATE.keys()
    assert "w.safetensors: is a PyTorch file, in spite of the ending" in said[0]
    save_weights(tmp_path / "w.pth", STATE)
    assert read_checkpoint(tmp_path / "w.pth").keys() == STATE.keys()
    assert "w.pth: is a safetensors file, in spite of the ending .pth" in said[1] and len(said) == 2


def test_a_header_whose_length_looks_like_an_image(tmp_path):
    header = b'{"__metadata__":{"note":"'
    header += b"x" * (int.from_bytes(b"BM", "little") - len(header) - 3) + b'"}}'
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert path.read_bytes()[:2] == b"BM"
    assert read_checkpoint(path) == {}


def archive(kind):
    def write(path):
        if kind == "npz":
            np.savez(path.open("wb"), a=np.ones(2))
        elif kind == "script":
            torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
        else:
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("weights/model.pth", b"x")

    return write


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive("zip"), r"a zip archive \(weights/model\.pth\).*unpack it"),
        (archive("npz"), "an archive of NumPy"),
        (archive("script"), "a TorchScript archive.*save the state_dict"),
        (b"\x1f\x8b" + bytes(99), "a gzip archive; unpack it"),
        (bytes(257) + b"ustar" + bytes(99), "a tar archive; unpack it"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
        (b"\x93NUMPY" + bytes(99), "an array of NumPy"),
        (b"\xef\xbb\xbf\n <!-- x --><html>", "a web page"),
        (b'{"error": "not found"}', "a text file"),
        (b'       {"error": "not found"}', "a text file"),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_other_kinds_of_files_are_named(tmp_path, content, words, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    with pytest.raises(DamagedFileError, match=words):
        read_checkpoint(path)


# ---- on top of a prior


@pytest.fixture
def trained():
    """A prior in float16, and what a training has made of it: an encoder of its own, one layer of the decoder moved."""
    generator = torch.Generator().manual_seed(0)
    prior = {
        name: torch.randn(shape, generator=generator).half()
        for name, shape in (("decoder.a", (4, 3)), ("decoder.b", (5,)), ("encoder.text", (2,)))
    }
    weights = {
        "decoder.a": prior["decoder.a"].float(),
        "decoder.b": prior["decoder.b"].float() + 1e-3,
        "decoder.new": torch.ones(2, 2),
        "encoder.text": prior["encoder.text"].float(),
    }
    return prior, weights


def test_what_a_training_changed_is_read_on_top_of_its_prior(tmp_path, trained):
    prior, weights = trained
    file = save_weights(tmp_path / "prior.safetensors", prior)
    path = tmp_path / "adapter.safetensors"
    assert save_on_prior(path, weights, file, metadata=dict(config="a.py")) == ["decoder.a"]
    # Of the encoder nothing is left out: it did not begin with the prior.
    assert read_checkpoint(path).keys() == {"decoder.b", "decoder.new", "encoder.text"}
    assert read_header(path)["config"] == "a.py"
    found = read_weights(path)
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_prior_is_found_beside_the_file_and_among_the_weights(tmp_path, trained, monkeypatch):
    prior, weights = trained
    (tmp_path / "elsewhere").mkdir()
    file = save_weights(tmp_path / "made" / "prior.safetensors", prior)
    path = tmp_path / "sent" / "adapter.safetensors"
    save_on_prior(path, weights, file)
    for folder in ("sent", "elsewhere"):
        file = file.rename(tmp_path / folder / file.name)
        monkeypatch.setenv("PITIKIT_WEIGHTS", str(tmp_path / "elsewhere"))
        assert torch.equal(read_weights(path)["decoder.a"], weights["decoder.a"])
    file.unlink()
    with pytest.raises(WeightsError, match="adapter.safetensors: needs the prior .*looked for.*put that file beside"):
        read_weights(path)
    save_weights(tmp_path / "sent" / "prior.safetensors", weights)
    with pytest.raises(WeightsError, match="prior.safetensors has other bytes; put that file beside"):
        read_weights(path)


def test_a_file_on_a_file_on_a_prior(tmp_path, trained):
    prior, weights = trained
    file = save_weights(tmp_path / "prior.safetensors", prior)
    save_on_prior(tmp_path / "one.safetensors", weights, file)
    more = {**weights, "decoder.new": torch.zeros(2, 2)}
    assert save_on_prior(tmp_path / "two.safetensors", more, tmp_path / "one.safetensors") == ["decoder.a", "decoder.b"]
    found = read_weights(tmp_path / "two.safetensors")
    assert all(torch.equal(found[name], more[name]) for name in more)


def test_a_prior_that_is_none_of_these_weights(tmp_path, trained):
    prior, weights = trained
    file = save_weights(tmp_path / "prior.safetensors", {**prior, "decoder.deeper": torch.ones(1)})
    with pytest.raises(WeightsError, match="its 'decoder.deeper' is not in the weights"):
        save_on_prior(tmp_path / "out.safetensors", weights, file)
    file = save_weights(tmp_path / "prior.safetensors", {name: value + 1 for name, value in prior.items()})
    with pytest.raises(WeightsError, match="no tensor of its decoder is as in the weights"):
        save_on_prior(tmp_path / "out.safetensors", weights, file)
    assert not (tmp_path / "out.safetensors").exists()
