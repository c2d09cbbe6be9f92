"""plugins/lora: from the decoder, to the bit, to trained updates, their small file and plain weights."""

import copy
import itertools
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pitikit.apis.translator import Translator
from pitikit.config import load_config
from pitikit.diffusion.types import Conditioning
from pitikit.engine.runner import TranslationRunner
from pitikit.kernels.accelerate import accelerate
from pitikit.networks.decoders import Decoder
from pitikit.registry import DECODERS, MODELS, load_plugins
from pitikit.weights import WeightsError, read_checkpoint, read_weights, save_weights

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "plugins" / "lora"
TRAINING = REPO / "tests" / "configs" / "tiny_training.py"
GLIDE = dict(
    type="GlideUNet",
    image_size=16,
    channels=32,
    multipliers=(1, 2),
    res_blocks=1,
    attention_sizes=(16,),
    head_width=32,
    token_width=32,
)
NUMBERS = itertools.count()
lora = sys.modules[load_plugins([FOLDER])[0]]


def randomised(module, scale=0.05):
    """A module with numbers for zeros, so that every layer matters."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return module


def pair(convolutions=True, **arguments):
    """A decoder, and the same one with updates."""
    arguments |= dict(type="LoRADecoder", convolutions=convolutions)
    plain = randomised(DECODERS.build(GLIDE)).eval()
    updated = DECODERS.build(dict(decoder=copy.deepcopy(plain), **arguments))
    return plain, updated.eval()


@pytest.fixture
def inputs():
    """x_t, t and a condition of two images."""
    generator = torch.Generator().manual_seed(2)
    x, tokens, pooled = (torch.randn(shape, generator=generator) for shape in ((2, 3, 16, 16), (2, 32, 4), (2, 32)))
    return x, torch.tensor([10, 900]), Conditioning(tokens, pooled)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("fast", [False, True])
def test_it_begins_as_the_decoder_to_the_bit(inputs, precision, fast):
    plain, updated = pair()
    if fast:
        plain, updated = accelerate(plain), accelerate(updated)
        assert {type(each).__name__ for each in updated.modules()} >= {"FastConv2d", "CachedLinear"}
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision is not None):
        assert torch.equal(plain(*inputs), updated(*inputs))
        randomised(updated.lora, 0.1)
        assert not torch.allclose(plain(*inputs), updated(*inputs), atol=1e-3)


def test_the_decoder_keeps_its_names_and_its_place():
    plain, updated = pair()
    own = {name: value for name, value in updated.state_dict().items() if not name.startswith("lora.")}
    assert own.keys() == plain.state_dict().keys()
    assert isinstance(updated, type(plain)) and len(list(updated.attention_blocks())) == len(
        list(plain.attention_blocks())
    )
    attention = {name.split("-")[-1] for name in pair(convolutions=False)[1].lora}
    assert attention == {"qkv", "encoder_kv", "proj_out"}


def test_only_the_updates_get_gradients(inputs):
    _, updated = pair()
    updated.requires_grad_(False).lora.requires_grad_(True)
    updated(*inputs).square().sum().backward()
    gradients = {name: p.grad for name, p in updated.named_parameters() if p.grad is not None}
    assert all(name.startswith("lora.") for name in gradients)
    # B is zero, so that A has none to begin with.
    assert all(gradients[name].any() == name.endswith("up.weight") for name in gradients)
    assert len(gradients) == 2 * len(updated.lora)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 5), (2, 7, 6)),
        (nn.Linear(6, 5, bias=False), (2, 6)),
        (nn.Conv1d(6, 5, 3, padding=1), (2, 6, 9)),
        (nn.Conv2d(6, 5, 1), (2, 6, 8, 8)),
        (nn.Conv2d(6, 5, 3, stride=2, padding=1), (2, 6, 8, 8)),
        (nn.Conv2d(6, 5, (3, 5), padding="same", dilation=2, padding_mode="circular"), (2, 6, 12, 12)),
    ],
    ids=str,
)
def test_an_update_is_that_of_the_merged_weights(layer, shape):
    decoder = nn.ModuleDict({"block": nn.ModuleDict({"layer": layer})})
    updated = lora.LoRADecoder(copy.deepcopy(decoder), rank=3, alpha=6, targets=["layer"])
    randomised(updated.lora, 0.3)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    found = updated["block"]["layer"](x)
    assert not torch.allclose(found, layer(x), atol=0.1)
    merged = runpy.run_path(str(FOLDER / "convert.py"))["merge"](
        {f"decoder.{name}": value for name, value in updated.state_dict().items()}
    )
    decoder.load_state_dict({name.removeprefix("decoder."): value for name, value in merged.items()})
    torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-5)


def test_a_copy_has_updates_of_its_own(inputs):
    _, updated = pair()
    before = updated(*inputs)
    copied = copy.deepcopy(updated)
    randomised(copied.lora, 0.1)
    assert torch.equal(updated(*inputs), before) and not torch.equal(copied(*inputs), before)


class Attention(Decoder):
    """A decoder of another kind, with layers that cannot be updated."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.grouped = nn.Conv2d(8, 8, 3, groups=8)
        self.to_q = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(rank=0), "got rank=0, expected at least 1"),
        (dict(targets=["to_z"]), "targets: 'to_z' fits no layer; expected names of nn.Linear.* such as to_q"),
        (dict(targets=["norm"]), "targets: 'norm' fits norm, a LayerNorm; expected"),
        (dict(targets=["grouped"]), "fits grouped, a Conv2d; expected .* without groups"),
        (dict(targets=["out_proj"]), "fits attention.out_proj, a NonDynamicallyQuantizableLinear"),
        (dict(targets=[]), "Attention: no layer is chosen"),
    ],
)
def test_what_cannot_be_updated_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        lora.LoRADecoder(Attention(), **arguments)


def test_layers_by_default_by_name_and_by_pattern():
    assert list(lora.LoRADecoder(Attention(), convolutions=True).lora) == ["to_q"]
    updated = pair(convolutions=False, targets=["input_blocks.*.qkv", "time_embed.0"])[1]
    assert set(updated.lora) == {"input_blocks-1-1-qkv", "time_embed-0"}
    with pytest.raises(ValueError, match="GlideUNet has a module 'lora' already"):
        lora.LoRADecoder(updated)
    with pytest.raises(ValueError, match="Sequential: no layer is chosen.* such as 0"):
        lora.LoRADecoder(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("piti_small_mask_lora", {}),
        ("piti_small_mask_lora", {"model.denoiser.decoder.convolutions": True}),
        ("piti_glide64_coco_lora", {}),
    ],
)
def test_the_configs_and_what_the_readme_counts(name, options):
    cfg = load_config(FOLDER / f"{name}.py", options)
    with torch.device("meta"):
        decoder = DECODERS.build(cfg.model.denoiser.decoder)
    values, own = (sum(p.numel() for p in each.parameters()) for each in (decoder, decoder.lora))
    assert f" {own:,} | {values - own:,} |" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert cfg.stages[-1]["train"] == ["encoder", "decoder.lora"]


# ---- a training


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """Weights of the tiny model without a zero among them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        denoiser = MODELS.build(load_config(TRAINING).model).denoiser
    return save_weights(tmp_path_factory.mktemp("prior") / "prior.safetensors", randomised(denoiser).state_dict())


def train(folder, prior, resume=False, iterations=6):
    """Train the tiny model in two stages, the border at 2, with a checkpoint every 2."""
    config = folder / "tiny_lora.py"
    folder.mkdir(exist_ok=True)
    config.write_text(
        f"_base_ = [{str(TRAINING)!r}]\nplugins = [{str(FOLDER)!r}]\n"
        "plain = {{_base_.model.denoiser.decoder}}\n"
        "decoder = dict(_delete_=True, type='LoRADecoder', decoder=plain, rank=2, alpha=4)\n"
        "model = dict(denoiser=dict(decoder=decoder))\n"
        f"load_from = dict(decoder={str(prior)!r}, allow_new='decoder.lora.*')\n"
        "custom_hooks = [dict(type='DenoiserEMA', decay=0.5)]\n"
        "stages = [dict(name='encoder', until=2, train=['encoder'], lr=1e-2),\n"
        "          dict(name='low-rank', train=['encoder', 'decoder.lora'], lr=1e-2)]\n"
    )
    cfg = load_config(config, {"train_cfg.max_iters": iterations}, folder)
    cfg.resume, cfg.experiment_name = resume, f"lora{next(NUMBERS)}"
    if resume:
        cfg.load_from = None
    runner = TranslationRunner.from_cfg(cfg)
    runner.train()
    return config


@pytest.fixture(scope="module")
def trained(prior, tmp_path_factory):
    """The config and the folder of a finished training."""
    folder = tmp_path_factory.mktemp("lora") / "run"
    return train(folder, prior), folder


def test_a_training_moves_the_updates_and_nothing_else_of_the_decoder(trained, prior):
    began, weights = read_weights(prior), read_weights(trained[1] / "ema.safetensors")
    stage_1 = read_checkpoint(trained[1] / "iter_2.pth")["ema"]
    for name, value in weights.items():
        if name.startswith("decoder.") and not name.startswith("decoder.lora."):
            assert torch.equal(value, began[name]), name
        else:
            moved = not torch.equal(value, stage_1[name])
            assert moved == (not name.endswith(".alpha")), name
    assert all(not value.any() for name, value in stage_1.items() if name.endswith("up.weight"))
    states = read_checkpoint(trained[1] / "iter_6.pth")["optimizer"]["state"]
    learning = [n for n in weights if n.startswith("encoder.") or (n.startswith("decoder.lora.") and "alpha" not in n)]
    assert 0 < len(states) <= len(learning)


def test_a_resumed_training_ends_the_same_to_the_bit(trained, prior, tmp_path):
    train(tmp_path / "run", prior, iterations=4)
    train(tmp_path / "run", prior, resume=True)
    whole, resumed = (read_checkpoint(folder / "iter_6.pth") for folder in (trained[1], tmp_path / "run"))
    for key in ("state_dict", "ema"):
        assert all(torch.equal(value, resumed[key][name]) for name, value in whole[key].items())


def images(config, weights):
    """Two images of a mask."""
    mask = torch.arange(64 * 64).reshape(64, 64).numpy().astype("uint8") % 22
    return Translator.from_config(config, weights, "cpu")(mask, seed=0, samples=2, progress=False)


@pytest.fixture
def convert(monkeypatch, capsys):
    """``convert("merge", weights, out)``: exit code and output of the command, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert.py", *map(str, arguments)])
        try:
            runpy.run_path(str(FOLDER / "convert.py"), run_name="__main__")
            code = 0
        except SystemExit as left:
            code = left.code
        return code, "".join(capsys.readouterr())

    return call


def test_merged_weights_are_those_of_the_plain_config(trained, tmp_path, convert):
    config, folder = trained
    code, said = convert("merge", folder / "ema.safetensors", tmp_path / "plain.safetensors")
    assert code == 0 and "plain.safetensors: plain weights" in said
    merged = images(TRAINING, tmp_path / "plain.safetensors")
    expected = images(config, folder / "ema.safetensors")
    # Rounding, by one level of 256.
    assert abs(merged.astype(int) - expected).max() <= 1 and merged.std() > 5


def test_a_small_file_gives_the_same_images_to_the_bit(trained, prior, tmp_path, convert):
    config, folder = trained
    small = tmp_path / "adapter.safetensors"
    code, said = convert("adapter", folder / "ema.safetensors", small, "--prior", prior)
    assert code == 0 and "without" in said
    assert all(name.startswith(("encoder.", "decoder.lora.")) for name in read_checkpoint(small))
    assert (images(config, small) == images(config, folder / "ema.safetensors")).all()
    assert (images(config, small) != images(config, None)).any()
    # The small file is enough to merge, and keeps nothing of its prior in the header then.
    assert convert("merge", small, tmp_path / "plain.safetensors")[0] == 0
    prior.rename(tmp_path / "gone.safetensors")
    try:
        assert images(TRAINING, tmp_path / "plain.safetensors").shape
        with pytest.raises(WeightsError, match="adapter.safetensors: needs the prior"):
            images(config, small)
    finally:
        (tmp_path / "gone.safetensors").rename(prior)


def test_what_convert_refuses(prior, tmp_path, convert):
    code, said = convert("merge", prior, tmp_path / "out.safetensors")
    assert code == 1 and said.startswith("error: ") and "without low-rank updates" in said
    code, said = convert("adapter", prior, tmp_path / "out.safetensors")
    assert code == 2 and "--prior is needed" in said
    assert not list(tmp_path.iterdir())
