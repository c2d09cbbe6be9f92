"""Translators that share a model and are called at once: each result is the one that it gives alone."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from torch import nn

from pitikit.apis.translator import Translator
from pitikit.evaluation.generate import evaluating


def at_once(calls: Sequence[Callable]) -> list:
    """Results of calls in a thread each, which begin together."""
    start, results = threading.Barrier(len(calls)), [None] * len(calls)

    def work(index):
        start.wait()
        results[index] = calls[index]()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(params=[True, False], ids=["frozen", "learning"])
def model(request, translators):
    """The model of a translator, with parameters that autocast casts itself, or our layers."""
    model = translators["mask"].model
    before = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(not request.param)
    yield model
    for parameter, learns in zip(model.parameters(), before, strict=True):
        parameter.requires_grad_(learns)


SETTINGS = [
    dict(seed=1, steps=6),
    dict(seed=2, steps=5, dtype="bfloat16"),
    dict(seed=3, steps=5, dtype="float16", scale=4.0),
    dict(seed=4, sampler=dict(type="DDIMSampler", steps=6, eta=1.0), samples=2),
]


def test_calls_at_once_give_what_each_gives_alone(model, tiny_config, scene):
    own = [Translator(model, tiny_config("mask")) for _ in SETTINGS]

    def call(index):
        return own[index](scene.label, **SETTINGS[index])

    alone = [call(index) for index in range(len(SETTINGS))]
    together = at_once([lambda index=index: [call(index) for _ in range(2)] for index in range(len(SETTINGS))])
    for index, expected in enumerate(alone):
        assert all(np.array_equal(made, expected) for made in together[index]), SETTINGS[index]
        assert own[index].timing.calls == own[index].timing.steps


def test_one_translator_is_called_at_once(translators, scene):
    mask = translators["mask"]
    calls = [
        lambda seed=seed: mask([scene.label, scene.label], seed=seed, samples=2, batch_size=3) for seed in range(4)
    ]
    alone = [call() for call in calls]
    assert all(np.array_equal(made, expected) for made, expected in zip(at_once(calls), alone, strict=True))


def test_two_half_precisions_in_turn_step_by_step(model, tiny_config, scene):
    """Each step of one call lies between two of the other: what one kept of its casts would meet the other."""
    own = [Translator(model, tiny_config("mask")) for _ in range(2)]
    kinds = ("bfloat16", "float16")
    alone = [each(scene.label, dtype=dtype) for each, dtype in zip(own, kinds, strict=True)]
    turns = threading.Barrier(2)

    def call(index):
        return own[index](scene.label, dtype=kinds[index], callback=lambda *_: turns.wait(10))

    together = at_once([lambda: call(0), lambda: call(1)])
    assert all(np.array_equal(made, expected) for made, expected in zip(together, alone, strict=True))


def test_a_model_in_training_samples_in_evaluation_mode_until_the_last_call_ends(model):
    model.train()
    model.denoiser.decoder.eval()
    first, second = evaluating(model), evaluating(model)
    try:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert not any(module.training for module in model.modules())
        second.__exit__(None, None, None)
        assert model.training and model.denoiser.encoder.training and not model.denoiser.decoder.training
    finally:
        model.eval()


def test_models_that_share_a_part_are_counted_by_module():
    part = nn.Dropout()
    one, other = nn.Sequential(part), nn.Sequential(part)
    first, second = evaluating(one), evaluating(other)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert one.training and not part.training
    second.__exit__(None, None, None)
    assert part.training and other.training


def test_models_built_at_once_have_the_same_random_weights(write_config):
    config = write_config("mask")
    built = at_once([lambda: Translator.from_config(config, None, "cpu").model] * 3)
    values = [np.concatenate([p.detach().numpy().ravel() for p in each.parameters()]) for each in built]
    assert all(np.array_equal(each, values[0]) for each in values)
