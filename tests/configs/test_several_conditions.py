"""The shipped config of a model with two conditions."""

import torch

from pitikit.apis.inputs import ConditionReader
from pitikit.config import load_config
from pitikit.engine.checkpoints.loading import load_weights
from pitikit.registry import DATASETS, MODELS


def test_masks_and_sketches_in_one_model(repo):
    config = load_config(repo / "configs" / "scenes" / "piti_small_mask_sketch.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        sample = DATASETS.build({**loader.dataset, "length": 1, "cache": False})[0]
        assert {name: tuple(part.shape) for name, part in sample["condition"].items()} == {
            "mask": (3, 256, 256),
            "sketch": (1, 256, 256),
        }
    assert sample["label"].shape == (256, 256)
    reader = ConditionReader(config.test_dataloader.dataset.pipeline)
    assert len(reader.find(repo / "configs" / "scenes" / "inputs")) == 4
    model = MODELS.build(config.model)
    assert load_weights(model.denoiser, repo / config.load_from, config.load_parts) == ["encoder"]
    # The loss on places looks at the tokens of both.
    tokens, _ = model.denoiser.encoder({name: part[None] / 127.5 - 1 for name, part in sample["condition"].items()})
    assert tokens.shape == (1, 96, 2 * 256) and model.losses[2].parts == len(model.denoiser.parts) == 2
    assert all(set(stage.drop) == {"mask", "sketch"} for stage in config.stages)


def test_weights_and_intervals_are_options(repo):
    key = "model.sampler.guidance"
    options = {f"{key}.weights.sketch": 0.5, f"{key}.intervals.sketch": [0, 0.5]}
    config = load_config(repo / "configs" / "scenes" / "piti_small_mask_sketch.py", options)
    with torch.random.fork_rng():
        (guidance,) = MODELS.build(config.model).sampler.guidance
    assert guidance.weights == {"mask": 1.0, "sketch": 0.5} and guidance.intervals == {"sketch": (0, 0.5)}
