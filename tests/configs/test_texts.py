"""The configs of texts: sizes of the released models, and the small ones sample."""

import pytest
import torch
from safetensors.torch import load_file

from pitikit import Translator
from pitikit.apis.inputs import ConditionReader
from pitikit.config import load_config
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.engine.checkpoints.loading import load_weights
from pitikit.models.denoiser import Denoiser
from pitikit.registry import DATASETS, MODELS
from pitikit.scenes import SceneWorld

VALUES = {
    "glide_base64": 385_030_726,
    "glide_upsample256": 398_361_286,
    "glide_inpaint64": 385_037_638,
    "glide_inpaint_upsample256": 398_368_198,
}
SMALL = ["base64", "inpaint64", "cascade256", "inpaint_cascade256"]


@pytest.fixture
def folder(repo):
    return repo / "configs" / "text"


@pytest.mark.parametrize("name", VALUES)
def test_the_full_size_ones_have_the_released_values(folder, name):
    model = load_config(folder / f"{name}.py").model
    with torch.device("meta"):
        denoiser = Denoiser(**{part: model.denoiser[part] for part in ("encoder", "decoder")})
    assert sum(p.numel() for p in denoiser.parameters()) == VALUES[name]


@pytest.mark.parametrize(("prefix", "scale"), [("", 3.0), ("inpaint_", 5.0)])
def test_the_cascades_sample_as_released(folder, prefix, scale):
    model = load_config(folder / f"glide_{prefix}cascade256.py").model
    assert model.base.sampler == dict(type="DDPMSampler", steps=100, guidance=dict(type="CFG", scale=scale))
    assert model.upsampler.sampler == dict(type="DDPMSampler", steps="fast27", temperature=0.997)
    assert (model.base.schedule.name, model.upsampler.schedule.name) == ("squaredcos_cap_v2", "linear")


@pytest.mark.parametrize("name", SMALL)
def test_a_small_one_draws_from_words(folder, name):
    translator = Translator.from_config(folder / f"small_{name}.py", "random", "cpu")
    images = translator(["red car road", "night"], steps=2)
    side = 64 if "cascade" in name else 16
    assert images.shape == (2, 1, side, side, 3)


def test_a_small_upsampler_enlarges_by_words(folder):
    translator = Translator.from_config(folder / "small_inpaint_upsample256.py", "random", "cpu")
    small = SceneWorld(1, size=32, members=["image"]).sources(0)["image"][::2, ::2]
    assert translator(["red car road"], low_res=[small], steps=2).shape == (1, 1, 64, 64, 3)


def test_a_small_one_fills_in_by_words(folder):
    model = MODELS.build(load_config(folder / "small_inpaint64.py").model).eval()
    image, mask = torch.rand(1, 3, 16, 16) * 2 - 1, torch.ones(1, 1, 16, 16, dtype=torch.bool)
    mask[:, :, 4:12, 4:12] = False
    condition = model.denoiser.encoder.null_condition(1)
    made = model.sample(condition, SamplingRequest([0], start=image, mask=mask)).images
    assert torch.equal(made[mask.expand_as(made)], image[mask.expand_as(made)])


def test_a_small_one_changes_an_image_by_words(folder):
    model = MODELS.build(load_config(folder / "small_base64.py").model).eval()
    image, condition = torch.rand(1, 3, 16, 16) * 2 - 1, model.denoiser.encoder.null_condition(1)
    apart = []
    for strength in (0.0, 0.3, 0.9):
        made = model.sample(condition, SamplingRequest([0], start=image, strength=strength)).images
        apart.append(float((made - image).abs().mean()))
    assert apart[0] == 0 and apart[0] < apart[1] < apart[2]


def test_the_vocabulary_is_named_by_the_environment(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PITIKIT_BPE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"there is no encoder\.json; expected .*SHA-256 .*PITIKIT_BPE"
    ) as caught:
        Translator.from_config(
            folder / "small_base64.py",
            "random",
            "cpu",
            {
                "test_dataloader.dataset.pipeline.0.tokenizer": load_config(folder / "glide_base64.py")
                .test_dataloader.dataset.pipeline[0]
                .tokenizer
            },
        )
    assert str(tmp_path) in str(caught.value)


def test_a_caption_stands_where_the_prior_learned_captions(repo):
    config = load_config(repo / "configs" / "scenes" / "piti_small_mask_text.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        condition = DATASETS.build({**loader.dataset, "length": 1, "cache": False})[0]["condition"]
        assert condition["condition"].shape == (3, 256, 256) and condition["text"].shape == (304,)
        assert (condition["text"][:256] == -1).all() and condition["text"][256] >= 0
    denoiser = MODELS.build(config.model).denoiser
    before = denoiser.encoder.condition.cls_token.clone()
    assert load_weights(denoiser, repo / config.load_from, config.load_parts) == []
    prior = load_file(repo / config.load_from)
    for name in ("token_embedding.weight", "positional_embedding"):
        assert torch.equal(denoiser.encoder.text.state_dict()[name], prior[f"encoder.{name}"].float())
    assert torch.equal(denoiser.encoder.condition.cls_token, before)


def test_words_are_laid_out_as_what_the_shipped_model_learned(repo):
    config = load_config(repo / "configs" / "scenes" / "text_small.py")
    learned = DATASETS.build({**config.train_dataloader.dataset, "length": 1})[0]["condition"]
    reader = ConditionReader(config.test_dataloader.dataset.pipeline)
    drawn = reader.read(reader.find("a red car on a road at night")[0])
    assert learned.shape == drawn.shape == (304,) and (drawn[:256] >= 0).all() and (learned[:256] >= 0).all()
    encoder = MODELS.build(config.model).denoiser.encoder
    assert int(max(learned.max(), drawn.max())) < encoder.token_embedding.num_embeddings - 1
