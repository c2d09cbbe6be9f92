import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pitikit.apis.convert import convert_checkpoint, read_state_dict
from pitikit.models.denoiser import Denoiser
from pitikit.networks import checkpoint_keys
from pitikit.networks.checkpoint_keys import KINDS, Kind, decoder_shapes, shapes_of
from pitikit.networks.decoders import GlideUNet
from pitikit.networks.encoders import SemanticEncoder
from pitikit.networks.text import TextEncoder
from pitikit.weights import WeightsError
from tools.convert_checkpoint import main

SMALL = dict(image_size=16, channels=32, multipliers=(1, 2), res_blocks=1, head_width=32)
ENCODER = dict(channels=(8, 8, 8, 8, 8), width=32, layers=1, heads=1, input_size=32)
DECODERS = {
    "glide-base": dict(SMALL, token_width=32),
    "glide-upsample": dict(SMALL, token_width=32, low_res=True),
    "glide-base-inpaint": dict(SMALL, token_width=32, inpaint=True),
    "glide-upsample-inpaint": dict(SMALL, token_width=32, low_res=True, inpaint=True),
}


def text_encoder():
    return TextEncoder(vocabulary=9, length=4, width=32, layers=1, heads=1)


@pytest.fixture(autouse=True)
def small_kinds(monkeypatch):
    """The same kinds with small networks: a released file has gigabytes."""
    kinds = {name: Kind(decoder) for name, decoder in DECODERS.items()}
    kinds["piti-base"] = Kind(DECODERS["glide-base"], prior="glide-base")
    kinds["piti-upsample"] = Kind(DECODERS["glide-upsample"], prior="glide-upsample")
    assert set(kinds) == set(KINDS)
    for name, kind in kinds.items():
        monkeypatch.setitem(KINDS, name, kind)

    def encoder_shapes(channels):
        return shapes_of(SemanticEncoder(channels, **ENCODER))

    monkeypatch.setattr(checkpoint_keys, "encoder_shapes", encoder_shapes)
    text_shapes = shapes_of(text_encoder())
    monkeypatch.setattr(checkpoint_keys, "text_shapes", lambda: text_shapes)
    decoder_shapes.cache_clear()
    yield
    decoder_shapes.cache_clear()


def seeded(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return module


def glide_weights(kind="glide-base"):
    decoder = seeded(GlideUNet(**DECODERS[kind]), 1)
    return {**decoder.state_dict(), **seeded(text_encoder(), 2).state_dict()}


def piti_model(channels=3, kind="glide-base"):
    model = Denoiser(SemanticEncoder(channels, **ENCODER), GlideUNet(**DECODERS[kind]))
    return seeded(model, 3)


def saved(folder, weights, name="source.pt"):
    torch.save(weights, folder / name)
    return folder / name


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.parametrize("kind", DECODERS)
def test_a_glide_checkpoint_becomes_a_decoder(tmp_path, kind):
    weights = glide_weights(kind)
    source = saved(tmp_path, weights)
    done = convert_checkpoint(source, tmp_path / "new" / "a.safetensors", kind)
    written = load_file(done.path)
    assert all(name.startswith("decoder.") for name in written)
    decoder = GlideUNet(**DECODERS[kind])
    decoder.load_state_dict({n.removeprefix("decoder."): t for n, t in written.items()})
    assert torch.equal(decoder.out[2].bias, weights["out.2.bias"])
    metadata = header(done.path)
    assert (metadata["kind"], metadata["source"]) == (kind, "source.pt")
    assert metadata["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert [path.name for path in done.path.parent.iterdir()] == ["a.safetensors"]


def test_the_report_counts_what_was_dropped(tmp_path):
    weights = glide_weights()
    done = convert_checkpoint(saved(tmp_path, weights), tmp_path / "a.safetensors", "glide-base")
    text = text_encoder().state_dict()
    values = sum(tensor.numel() for tensor in text.values())
    assert sum(count for count, _ in done.dropped.values()) == len(text)
    assert done.dropped["token_embedding"] == (1, 9 * 32)
    assert done.tensors == len(weights) - len(text)
    assert f"dropped: {len(text)} tensors, {values:,} values" in done.report()
    assert set(done.dropped) == {
        "final_ln", "padding_embedding", "positional_embedding", "token_embedding", "transformer"
    }  # fmt: skip


def test_the_text_encoder_can_be_kept(tmp_path):
    weights = glide_weights()
    dst = tmp_path / "a.safetensors"
    done = convert_checkpoint(saved(tmp_path, weights), dst, "glide-base", with_text_encoder=True)
    model = Denoiser(text_encoder(), GlideUNet(**DECODERS["glide-base"]))
    model.load_state_dict(load_file(dst))
    assert torch.equal(model.encoder.final_ln.bias, weights["final_ln.bias"])
    assert "dropped: nothing" in done.report()


@pytest.mark.parametrize("channels", [1, 3, 6, 4])
def test_a_piti_checkpoint_says_its_channels(tmp_path, channels):
    model = piti_model(channels)
    dst = tmp_path / "a.safetensors"
    done = convert_checkpoint(saved(tmp_path, model.state_dict()), dst, "piti-base")
    assert header(dst)["condition_channels"] == str(channels)
    assert f"condition channels: {channels}" in done.report()
    written = load_file(dst)
    assert all(torch.equal(written[name], tensor) for name, tensor in model.state_dict().items())
    assert len(written) == len(model.state_dict())


def test_parameters_and_safetensors_are_read_too(tmp_path):
    # The released training code saves nn.Parameter, its EMA files as well.
    parameters = dict(piti_model().named_parameters())
    saved(tmp_path, parameters)
    convert_checkpoint(tmp_path / "source.pt", tmp_path / "a.safetensors", "piti-base")
    convert_checkpoint(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "piti-base")
    torch.save(parameters, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    convert_checkpoint(tmp_path / "old.pt", tmp_path / "c.safetensors", "piti-base")
    first = load_file(tmp_path / "a.safetensors")
    for name in "bc":
        other = load_file(tmp_path / f"{name}.safetensors")
        assert all(torch.equal(first[key], other[key]) for key in first)


def test_stage_1_needs_its_prior(tmp_path):
    model = piti_model()
    source = saved(tmp_path, model.encoder.state_dict(), "ema_0.9999_200000.pt")
    dst = tmp_path / "a.safetensors"
    with pytest.raises(WeightsError, match=r"stage 1.*'glide-base'"):
        convert_checkpoint(source, dst, "piti-base")
    assert not dst.exists()
    weights = glide_weights()
    prior = saved(tmp_path, weights, "base.pt")
    convert_checkpoint(source, dst, "piti-base", prior=prior)
    model.load_state_dict(load_file(dst))
    assert torch.equal(model.decoder.out[2].weight, weights["out.2.weight"])
    assert header(dst)["prior"] == "base.pt"
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (source, prior)]
    assert [header(dst)[f"{name}_sha256"] for name in ("source", "prior")] == hashes
    whole = saved(tmp_path, model.state_dict(), "whole.pt")
    with pytest.raises(ValueError, match="holds a decoder already"):
        convert_checkpoint(whole, dst, "piti-base", prior=prior, overwrite=True)


def test_dtype(tmp_path):
    source = saved(tmp_path, {n: t.half() for n, t in glide_weights().items()})
    for dtype, expected in (("keep", torch.float16), ("float32", torch.float32)):
        dst = tmp_path / f"{dtype}.safetensors"
        convert_checkpoint(source, dst, "glide-base", dtype=dtype)
        assert {tensor.dtype for tensor in load_file(dst).values()} == {expected}
    with pytest.raises(ValueError, match="float32, float16"):
        convert_checkpoint(source, tmp_path / "c.safetensors", "glide-base", dtype="int8")


def test_values_that_do_not_fit_are_an_error(tmp_path):
    for value, dtype, text in ((1e6, "float16", "range"), (float("nan"), "keep", "undefined")):
        weights = glide_weights()
        weights["out.2.bias"][0] = value
        with pytest.raises(WeightsError, match=rf"decoder\.out\.2\.bias.*{text}"):
            dst = tmp_path / "a.safetensors"
            convert_checkpoint(saved(tmp_path, weights), dst, "glide-base", dtype=dtype)
    weights["out.2.bias"] = torch.zeros(6, dtype=torch.int64)
    with pytest.raises(WeightsError, match="int64"):
        convert_checkpoint(saved(tmp_path, weights), dst, "glide-base")


def test_a_wrong_kind_is_told_which_fits(tmp_path):
    source = saved(tmp_path, glide_weights("glide-upsample"))
    with pytest.raises(WeightsError, match=r"source\.pt.*it fits 'glide-upsample'"):
        convert_checkpoint(source, tmp_path / "a.safetensors", "glide-base")
    assert [path.name for path in tmp_path.iterdir()] == ["source.pt"]


def test_dst_is_safe(tmp_path, monkeypatch):
    source = saved(tmp_path, glide_weights())
    dst = tmp_path / "a.safetensors"
    dst.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="overwrit"):
        convert_checkpoint(source, dst, "glide-base")

    def broken(tensors, name, metadata):
        Path(name).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr("pitikit.weights.save_file", broken)
        convert_checkpoint(source, dst, "glide-base", overwrite=True)
    assert dst.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "source.pt"]
    convert_checkpoint(source, dst, "glide-base", overwrite=True)
    assert load_file(dst)
    assert dst.stat().st_mode == source.stat().st_mode
    with pytest.raises(ValueError, match="safetensors"):
        convert_checkpoint(source, tmp_path / "a.pt", "glide-base")


class Foreign:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_damaged_and_foreign_files_are_named(tmp_path, capsys):
    whole = saved(tmp_path, glide_weights()).read_bytes()
    tensors = {"a": torch.zeros(100)}
    save_file(tensors, tmp_path / "good.safetensors")
    safe = (tmp_path / "good.safetensors").read_bytes()
    files = {
        "truncated.pt": (whole[: len(whole) // 2], "truncated"),
        "empty.pt": (b"", "an empty file"),
        "image.pt": (b"\x89PNG\r\n\x1a\n" + bytes(100), r"an image \(PNG\)"),
        "page.pt": (b"<!DOCTYPE html><html>quota exceeded", "web page"),
        "pickle.pt": (pickle.dumps(Foreign()), "refused, it holds more than tensors"),
        "truncated.safetensors": (safe[:-8], "damaged or not a file of weights"),
        "truncated_safetensors.pt": (safe[:-8], "damaged or not a file of weights"),
        "words.safetensors": (b"no header here at all", "a text file"),
        "json.json": (json.dumps({"a": 1}).encode(), "a text file"),
    }
    for name, (data, text) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=text) as caught:
            read_state_dict(tmp_path / name)
        assert name in str(caught.value)
    loads = {
        "foreign.pt": ({"a": Foreign()}, "refused, it holds more than tensors"),
        "optimizer.pt": ({"state": {}, "param_groups": []}, "optimizer"),
        "runner.pt": ({"meta": {}, "state_dict": {}}, "meta, state_dict"),
        "none.pt": ({}, "empty dict"),
        "list.pt": ([1, 2], "found list"),
        "tensor.pt": (torch.zeros(3), "found Tensor"),
    }
    for name, (value, text) in loads.items():
        with pytest.raises(WeightsError, match=text):
            read_state_dict(saved(tmp_path, value, name))
    assert "never be printed" not in capsys.readouterr().out


def test_the_tool_prints_a_report(tmp_path, capsys):
    source = saved(tmp_path, glide_weights())
    arguments = [str(source), str(tmp_path / "a.safetensors"), "--kind", "glide-base"]
    main([*arguments, "--dtype", "float16"])
    assert "dropped: " in capsys.readouterr().out
    with pytest.raises(FileExistsError):
        main(arguments)
    main([*arguments, "--overwrite", "--with-text-encoder"])
    assert "dropped: nothing" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(source), "b.safetensors", "--kind", "glide"])
