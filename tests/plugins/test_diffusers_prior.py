"""plugins/diffusers_prior: U-Nets of diffusers as decoders, from their folders through two stages and back."""

import importlib
import json
import runpy
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from pitikit.apis.building import build_model
from pitikit.config import load_config
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Conditioning
from pitikit.models.translator import DenoisingTranslator
from pitikit.registry import DECODERS, ENCODERS, RUNNERS, load_plugins

diffusers = pytest.importorskip("diffusers", reason="the extra pitikit[diffusers] is not installed")

#: As of Stable Diffusion: transformers with attention to the tokens alone.
PLAIN = dict(
    sample_size=16,
    in_channels=3,
    out_channels=3,
    block_out_channels=(8, 16),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    norm_num_groups=8,
    attention_head_dim=2,
    cross_attention_dim=32,
)
#: As of DeepFloyd IF: attention to tokens beside pixels, tokens projected and pooled, a learned variance.
BESIDE_PIXELS = dict(
    PLAIN,
    out_channels=6,
    down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    mid_block_type="UNetMidBlock2DSimpleCrossAttn",
    attention_head_dim=8,
    encoder_hid_dim=40,
    cross_attention_norm="group_norm",
    addition_embed_type="text",
    addition_embed_type_num_heads=4,
    resnet_time_scale_shift="scale_shift",
    act_fn="gelu",
)
WITH_VECTOR = dict(PLAIN, class_embed_type="simple_projection", projection_class_embeddings_input_dim=32)


@pytest.fixture(scope="module", autouse=True)
def plugin(repo):
    """The plugin's module."""
    return importlib.import_module(load_plugins([repo / "plugins" / "diffusers_prior"])[0])


def unet(config=PLAIN):
    """A U-Net whose every layer counts: diffusers, too, begins some at zero."""
    torch.manual_seed(0)
    made = diffusers.UNet2DConditionModel(**config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def write(folder, config=PLAIN, **scheduler):
    """A folder as diffusers writes it, with a scheduler if it has options."""
    made = unet(config)
    made.save_pretrained(folder / "unet")
    if scheduler:
        diffusers.DDPMScheduler(**scheduler).save_pretrained(folder / "scheduler")
    return made


def decoder(source, **options):
    return DECODERS.build(dict(type="DiffusersUNet", unet=source, **options))


def condition(width, batch=2, length=16):
    generator = torch.Generator().manual_seed(1)
    return Conditioning(
        torch.randn(batch, width, length, generator=generator), torch.randn(batch, width, generator=generator)
    )


X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
T = torch.tensor([3, 700])
ENCODER = dict(
    type="SemanticEncoder", input_size=32, channels=(8, 8, 8, 8, 8), strides=(1, 2, 2, 2, 1, 1), layers=1, heads=2
)


def translator(source, width=32, **options):
    torch.manual_seed(0)
    given = dict(losses=[dict(type="EpsMSE")], sampler=dict(type="DDIMSampler", steps=2, guidance=dict(type="CFG")))
    parts = dict(encoder=dict(ENCODER, width=width), decoder=dict(type="DiffusersUNet", unet=source))
    return DenoisingTranslator(parts, **{**given, **options})


BATCH = dict(image=X.clamp(-1, 1), condition=torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)))


# ---- the network


@pytest.mark.parametrize(("config", "width"), [(PLAIN, 32), (BESIDE_PIXELS, 40), (WITH_VECTOR, 32)])
@pytest.mark.parametrize("recompute", [False, True])
def test_output_is_that_of_diffusers_with_tokens_as_its_states(tmp_path, config, width, recompute):
    made, cond = write(tmp_path, config), condition(width)
    built = decoder(str(tmp_path), recompute=recompute).eval()
    assert (built.token_width, built.image_size, built.multiple) == (width, 16, 2)
    if config is WITH_VECTOR:
        states, vector = cond.tokens.transpose(1, 2), cond.pooled
    else:
        states, vector = torch.cat([cond.tokens.transpose(1, 2), cond.pooled[:, None]], dim=1), None
    with torch.no_grad():
        expected = made(X, T, states, class_labels=vector).sample
        assert torch.equal(built(X, T, cond), expected)
        # Every part of the condition counts.
        for other in (cond._replace(tokens=-cond.tokens), cond._replace(pooled=-cond.pooled)):
            assert (built(X, T, other) - expected).abs().max() > 1e-5
    assert built.learns_variance == (config is BESIDE_PIXELS)


@pytest.mark.parametrize("config", [PLAIN, BESIDE_PIXELS])
def test_token_alignment_follows_the_attention(config):
    width = 40 if config is BESIDE_PIXELS else 32
    losses = [dict(type="EpsMSE"), dict(type="TokenAlignment", grid=4)]
    model = translator(config, width, losses=losses, sampler=dict(type="DDIMSampler", steps=2)).train()
    # Down, mid and two up.
    looks = [module for module in model.denoiser.decoder.modules() if hasattr(module, "log_attention")]
    assert len(looks) == 4
    logs = model(mode="loss", **BATCH)
    # Nothing is learned yet: each of 16 tokens, the pooled one and, where they are, as many pixels are as likely.
    assert 0.05 * 2 < float(logs["loss_align"]) < 0.05 * 6
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        losses = model(mode="loss", **BATCH)
        losses["loss"].backward()
        optimizer.step()
    assert float(losses["loss_align"]) < float(logs["loss_align"])


def test_log_attention_is_that_of_the_first_head(plugin):
    look_class = importlib.import_module(f"{plugin.__name__}.attention").TokenLook
    look = look_class(heads=2)
    x, kv = torch.randn(1, 3 * 8, 2, 2), torch.randn(1, 2, 5, 8)
    weights = look.log_attention(x, kv).exp()
    assert weights.shape == (1, 4, 5 + 4) and torch.allclose(weights.sum(dim=2), torch.ones(1, 4))
    values = torch.cat([kv[:, 0, :, 4:], x[:, 16:20].flatten(2).transpose(1, 2)], dim=1)
    assert torch.allclose(look(x, kv)[..., :4], weights @ values, atol=1e-6)
    assert look.log_attention(x[:, :8], kv).shape == (1, 4, 5)


def test_time_is_counted_as_in_the_training_of_the_prior(tmp_path):
    made = write(tmp_path, num_train_timesteps=200, beta_schedule="linear")
    model = translator(str(tmp_path), schedule=None).eval()
    assert len(model.schedule) == 200
    cond = condition(32)
    states = torch.cat([cond.tokens.transpose(1, 2), cond.pooled[:, None]], dim=1)
    t = torch.tensor([7, 199])
    with torch.no_grad():
        found = model.denoiser.decode(X, model.schedule.network_time(t), cond)
        assert torch.allclose(found, made(X, t, states).sample, atol=1e-6)


# ---- the process


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2", "scaled_linear"])
@pytest.mark.parametrize(("kind", "predicts"), [("epsilon", "eps"), ("v_prediction", "v"), ("sample", "x0")])
def test_schedule_and_prediction_are_those_of_the_folder(tmp_path, name, kind, predicts):
    write(tmp_path, beta_schedule=name, prediction_type=kind)
    model = translator(str(tmp_path), schedule=None)
    assert model.predicts == predicts
    betas = diffusers.DDPMScheduler(beta_schedule=name).betas.double()
    assert torch.allclose(model.schedule.betas, betas, rtol=1e-4)
    if name != "scaled_linear":
        same = translator(str(tmp_path), schedule=dict(type="NoiseSchedule", name=name), predicts=predicts)
        assert torch.equal(same.schedule.alpha_bar, NoiseSchedule(name).alpha_bar)


def test_a_contradiction_of_the_folder_is_an_error(tmp_path):
    write(tmp_path, beta_schedule="linear", prediction_type="v_prediction")
    with pytest.raises(
        ValueError, match=r"schedule: got alpha_bar=.* at t=\d+, expected .*trained; leave out schedule"
    ):
        translator(str(tmp_path), schedule=dict(type="NoiseSchedule", name="squaredcos_cap_v2"))
    with pytest.raises(ValueError, match="schedule: got 500 steps, expected 1000"):
        translator(str(tmp_path), schedule=dict(type="NoiseSchedule", name="linear", steps=500))
    with pytest.raises(ValueError, match="predicts: got 'eps', expected 'v', which the decoder was trained to predict"):
        translator(str(tmp_path), predicts="eps")
    with pytest.raises(ValueError, match="predicts='score'"):
        translator(str(tmp_path), predicts="score")


def test_without_a_scheduler_the_config_decides(tmp_path):
    write(tmp_path)
    model = translator(str(tmp_path / "unet"), schedule=dict(type="NoiseSchedule", name="linear"), predicts="v")
    assert model.predicts == "v" and torch.equal(model.schedule.betas, NoiseSchedule("linear").betas)
    assert translator(str(tmp_path)).predicts == "eps"


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (dict(_class_name="FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000), "without betas"),
        (dict(beta_schedule="linear", prediction_type="flow_prediction"), "prediction_type='flow_prediction'"),
        (dict(beta_schedule="linear", rescale_betas_zero_snr=True), "noise alone"),
    ],
)
def test_processes_of_another_kind_are_refused(tmp_path, scheduler, message):
    write(tmp_path)
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    with pytest.raises(ValueError, match=message):
        decoder(str(tmp_path))


def test_a_direct_variance_is_refused_and_a_share_is_taken(tmp_path):
    write(tmp_path, BESIDE_PIXELS, variance_type="learned")
    with pytest.raises(ValueError, match="got variance_type='learned', expected 'learned_range'"):
        decoder(str(tmp_path))
    diffusers.DDPMScheduler(variance_type="learned_range").save_pretrained(tmp_path / "scheduler")
    losses = [dict(type="EpsMSE"), dict(type="VariationalBound")]
    model = translator(str(tmp_path), 40, losses=losses, sampler=dict(type="DDPMSampler", steps=2))
    assert float(model(mode="loss", **BATCH)["loss_vb"]) > 0
    assert model.eval().sample(BATCH["condition"], SamplingRequest([0, 1])).images.shape == (2, 3, 16, 16)


def test_without_a_variance_losses_and_samplers_have_a_remedy(tmp_path):
    write(tmp_path)
    source = str(tmp_path)
    with pytest.raises(ValueError, match="VariationalBound: the decoder predicts no variance; remove the loss"):
        translator(source, losses=[dict(type="EpsMSE"), dict(type="VariationalBound")])(mode="loss", **BATCH)
    with pytest.raises(ValueError, match="variance='learned': the decoder predicts none; use variance='small'"):
        translator(source, sampler=dict(type="DDPMSampler", steps=2)).sample(
            BATCH["condition"], SamplingRequest([0, 1])
        )
    for sampler in (dict(type="DDPMSampler", variance="small"), dict(type="DPMSolverSampler", eta=1.0)):
        model = translator(source, sampler=dict(sampler, steps=2)).eval()
        assert model.sample(BATCH["condition"], SamplingRequest([0, 1])).images.isfinite().all()


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(in_channels=4, out_channels=4), "in_channels=4, a U-Net on the latents of a VAE, expected 3"),
        (dict(in_channels=6), "in_channels=6, expected 3: x_t alone"),
        (dict(out_channels=1), "out_channels=1, expected 3, or 6"),
        (dict(sample_size=None), "sample_size=None, expected the side of a square image"),
        (dict(sample_size=15), "sample_size=15, expected one that can be halved 1 times"),
        (dict(num_class_embeds=10), "num_class_embeds=10, expected None: tokens are its only condition"),
        (dict(class_embed_type="timestep"), "class_embed_type='timestep'"),
        (
            dict(class_embed_type="projection", projection_class_embeddings_input_dim=7),
            "a class embedding of width 7, expected that of the tokens, 32",
        ),
        (
            dict(addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=40),
            "addition_embed_type='text_time', expected None or 'text'",
        ),
        (
            dict(
                down_block_types=("DownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "UpBlock2D"),
                mid_block_type="UNetMidBlock2D",
            ),
            "blocks without attention to tokens",
        ),
        (dict(cross_attention_dim=(32, 16)), "expected one width of the tokens"),
    ],
)
def test_unets_that_need_something_else_are_refused(tmp_path, changes, message):
    config = {**PLAIN, **changes}
    with pytest.raises(ValueError, match=message):
        decoder(config)
    diffusers.UNet2DConditionModel(**config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        decoder(str(tmp_path))


def test_an_unknown_argument_of_the_unet_is_named():
    with pytest.raises(ValueError, match="unet: got 'blocks', expected arguments of UNet2DConditionModel: sample_size"):
        decoder(dict(PLAIN, blocks=3))


def test_conditions_with_more_than_tokens_are_refused():
    built, cond = decoder(PLAIN), condition(32)
    assert built.prepare(cond) is cond
    maps = torch.zeros(2, 8, 16, 16)
    for name, value in dict(features=(maps,), low_res=maps[:, :3], known=maps[:, :4]).items():
        with pytest.raises(ValueError, match=f"got a condition with {name}, expected tokens and pooled alone"):
            built.prepare(cond._replace(**{name: value}))
    with pytest.raises(ValueError, match=r"tokens: got width 16, expected 32 .*ProjectedEncoder.*width=32"):
        built.prepare(condition(16))


def test_folders_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    with pytest.raises(FileNotFoundError, match="got no folder, expected one that diffusers has written; looked for"):
        decoder(str(tmp_path / "nowhere"))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"a folder with notes\.txt, expected config\.json"):
        decoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="expected a config as JSON"):
        decoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(dict(PLAIN, _class_name="UNet2DModel")))
    with pytest.raises(ValueError, match="got a UNet2DModel, expected a UNet2DConditionModel"):
        decoder(str(tmp_path))


def test_weights_that_cannot_be_used(tmp_path):
    write(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    whole = load_file(weights)
    name = "conv_in.weight"
    save_file({key: value for key, value in whole.items() if key != name}, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=r"do not fit config\.json: 1 tensors missing, such as conv_in\.weight"):
        decoder(str(tmp_path))
    save_file({**whole, "more": torch.zeros(1)}, weights, {"format": "pt"})
    with pytest.raises(ValueError, match="1 tensors left over, such as more"):
        decoder(str(tmp_path))
    save_file({**whole, name: torch.zeros(8, 3, 5, 5)}, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=r"cannot be loaded .*conv_in\.weight"):
        decoder(str(tmp_path))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="weights that cannot be loaded"):
        decoder(str(tmp_path))
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(
        FileNotFoundError, match=r"diffusion_pytorch_model\.bin, a pickle, which may run code, expected"
    ):
        decoder(str(tmp_path))
    assert decoder(str(tmp_path), pretrained=False).token_width == 32


@pytest.mark.parametrize("options", [dict(variant="fp16"), dict(max_shard_size="20KB")])
def test_half_precision_and_shards_are_read(tmp_path, options):
    made = unet()
    made = made.half() if "variant" in options else made
    made.save_pretrained(tmp_path, **options)
    assert not (tmp_path / "diffusion_pytorch_model.safetensors").exists()
    built = decoder(str(tmp_path))
    assert {value.dtype for value in built.state_dict().values()} == {torch.float32}
    assert all(torch.equal(value.float(), built.unet.state_dict()[name]) for name, value in made.state_dict().items())


def test_a_folder_is_found_among_the_weights(tmp_path, monkeypatch):
    write(tmp_path / "mine")
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(tmp_path))
    assert decoder("mine").token_width == 32


def test_without_diffusers_the_message_has_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match=r"pip install 'pitikit\[diffusers\]'"):
        decoder(PLAIN)


# ---- the encoder


def test_a_projected_encoder_bridges_the_widths(tmp_path):
    write(tmp_path, BESIDE_PIXELS)
    inner = dict(ENCODER, width=16)
    encoder = ENCODERS.build(dict(type="ProjectedEncoder", encoder=inner, inner=16, width=40))
    assert encoder.in_channels == 3 and encoder.parts == ()
    tokens, pooled = encoder(encoder.null_condition(2))
    assert tokens.shape == (2, 40, 16) and pooled.shape == (2, 40)
    assert torch.allclose(tokens[..., 0], encoder.project(encoder.encoder(encoder.null_condition(2))[0][..., 0]))
    with pytest.raises(ValueError, match="got tokens of width 16, expected inner=8"):
        ENCODERS.build(dict(type="ProjectedEncoder", encoder=inner, inner=8, width=40))(encoder.null_condition(1))


# ---- two stages, and back to a folder


@pytest.fixture
def config(repo, tmp_path):
    """A config of two stages of two iterations, on a prior of noise."""
    write(tmp_path / "prior", WITH_VECTOR, beta_schedule="squaredcos_cap_v2")
    path = tmp_path / "tiny.py"
    path.write_text(
        f"_base_ = [{str(repo / 'tests' / 'configs' / 'tiny_training.py')!r}]\n"
        f"plugins = [{str(repo / 'plugins' / 'diffusers_prior')!r}]\n"
        f"unet = {str(tmp_path / 'prior')!r}\n"
        "model = dict(schedule=None, timestep_sampler=dict(_delete_=True, type='UniformTimesteps'),\n"
        "    losses=[dict(type='EpsMSE')], sampler=dict(variance='small'),\n"
        "    denoiser=dict(decoder=dict(_delete_=True, type='DiffusersUNet', unet=unet)))\n"
        "train_cfg = dict(max_iters=4)\n"
        "stages = [dict(name='encoder', until=2, train=['encoder'], lr=1e-2, drop=0.0),\n"
        "    dict(name='joint', train=['encoder', 'decoder'], lr=1e-2, drop=0.5)]\n"
        "custom_hooks = [dict(type='DenoiserEMA', decay=0.5)]\n"
        "default_hooks = dict(checkpoint=dict(interval=2))\n"
    )
    return path


def test_two_stages_and_back_to_a_folder(config, repo, tmp_path, monkeypatch, capsys):
    cfg = load_config(config)
    cfg.work_dir = str(tmp_path / "work")
    RUNNERS.get("TranslationRunner").from_cfg(cfg).train()
    prior = load_file(tmp_path / "prior" / "unet" / "diffusion_pytorch_model.safetensors")
    first = torch.load(tmp_path / "work" / "iter_2.pth", weights_only=True)["state_dict"]
    last = torch.load(tmp_path / "work" / "iter_4.pth", weights_only=True)["state_dict"]
    begin = "denoiser.decoder.unet."
    assert {name.removeprefix(begin) for name in first if name.startswith(begin)} == set(prior)
    assert all(torch.equal(first[begin + name], value) for name, value in prior.items())
    assert not any(torch.equal(last[begin + name], value) for name, value in prior.items())

    # The EMA as a folder: the same images from it as from the weights.
    weights, folder = tmp_path / "work" / "ema.safetensors", tmp_path / "exported"
    command = ["export.py", str(config), str(weights), str(folder)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(repo / "plugins" / "diffusers_prior" / "export.py"), run_name="__main__")
    assert left.value.code is None and "predicts eps" in capsys.readouterr().out
    exported = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    ema = load_file(weights)
    assert all(torch.equal(value, ema[f"decoder.unet.{name}"]) for name, value in exported.items())
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    assert (scheduler["beta_schedule"], scheduler["prediction_type"]) == ("squaredcos_cap_v2", "epsilon")

    def images(model):
        return model.sample(torch.zeros(1, 3, 32, 32), SamplingRequest([0])).images

    before = images(build_model(load_config(config), weights, "cpu"))
    cfg = load_config(config, {"model.denoiser.decoder.unet": str(folder)})
    again = build_model(cfg, None, "cpu")
    encoder = {name.removeprefix("encoder."): value for name, value in ema.items() if name.startswith("encoder.")}
    again.denoiser.encoder.load_state_dict(encoder)
    assert torch.allclose(before, images(again), atol=1e-5)

    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(repo / "plugins" / "diffusers_prior" / "export.py"), run_name="__main__")
    assert "got a folder with files in it, expected a new one" in left.value.code


def test_a_schedule_of_its_own_is_exported(tmp_path):
    curve = torch.linspace(0.99, 0.01, 50, dtype=torch.float64)
    schedule = NoiseSchedule(alpha_bar=curve)
    decoder(PLAIN).save_pretrained(tmp_path, schedule.betas, "v")
    model = translator(str(tmp_path), schedule=None)
    assert model.predicts == "v" and torch.allclose(model.schedule.alpha_bar, curve, rtol=1e-4)
    loaded = diffusers.DDPMScheduler.from_pretrained(str(tmp_path / "scheduler"))
    assert torch.allclose(loaded.alphas_cumprod.double(), curve, rtol=1e-4)


# ---- the configs


def test_low_rank_updates_are_not_left_behind(repo, tmp_path):
    load_plugins([repo / "plugins" / "lora"])
    made = DECODERS.build(dict(type="LoRADecoder", decoder=dict(type="DiffusersUNet", unet=PLAIN)))
    with pytest.raises(ValueError, match=r"got weights of lora, expected those of the U-Net alone.*merge"):
        made.save_pretrained(tmp_path / "prior", NoiseSchedule().betas, "eps")
    assert not (tmp_path / "prior").exists()


def test_the_small_configs_fit_together(repo, tmp_path):
    folder = repo / "plugins" / "diffusers_prior"
    pretraining = build_model(load_config(folder / "pretrain_small_unet_layouts.py"), None, "cpu")
    decoder_of = pretraining.denoiser.decoder
    assert sum(parameter.numel() for parameter in decoder_of.parameters()) == 1_889_379
    decoder_of.save_pretrained(tmp_path / "prior", pretraining.schedule.betas, pretraining.predicts)
    options = {"model.denoiser.decoder.unet": str(tmp_path / "prior")}
    adapted = build_model(load_config(folder / "piti_small_unet_mask.py", options), None, "cpu")
    same = zip(decoder_of.unet.parameters(), adapted.denoiser.decoder.unet.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    scratch = build_model(load_config(folder / "piti_small_unet_mask_from-scratch.py"), None, "cpu")
    assert scratch.denoiser.state_dict().keys() == adapted.denoiser.state_dict().keys()
    assert load_config(folder / "piti_small_unet_mask.py").model.schedule is None
    stages = [load_config(folder / f"piti_small_unet_mask{end}.py").stages for end in ("", "_from-scratch")]
    assert [stage.train for stage in stages[0]] == [["encoder"], ["encoder", "decoder"]] and len(stages[1]) == 1


@pytest.mark.slow
def test_the_full_size_config_takes_the_sizes_of_if(repo, tmp_path):
    wide = dict(
        BESIDE_PIXELS,
        sample_size=64,
        block_out_channels=(192, 384, 576, 768),
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
        layers_per_block=3,
        norm_num_groups=32,
        attention_head_dim=64,
        cross_attention_dim=768,
        encoder_hid_dim=4096,
        addition_embed_type_num_heads=64,
    )
    (tmp_path / "config.json").write_text(json.dumps(dict(wide, _class_name="UNet2DConditionModel")))
    options = {"model.denoiser.decoder.unet": str(tmp_path), "model.denoiser.decoder.pretrained": False}
    cfg = load_config(repo / "plugins" / "diffusers_prior" / "piti_if64_two-stage_coco.py", options)
    model = build_model(cfg, None, "cpu")
    assert sum(parameter.numel() for parameter in model.denoiser.decoder.parameters()) == 371_605_830
    cond = model.denoiser.encode(torch.zeros(1, 3, 256, 256))
    with torch.no_grad():
        assert model.denoiser.decode(torch.zeros(1, 3, 64, 64), torch.tensor([5]), cond).shape == (1, 6, 64, 64)
