"""The public API of plugins."""

import inspect

from mmengine.registry import Registry

from pitikit import plugins, registry


def test_all_of_it_is_there_and_listed():
    public = {name for name, value in vars(plugins).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert public == set(plugins.__all__)


def test_it_has_what_a_plugin_is_made_of():
    assert plugins.API_VERSION == registry.PLUGIN_API
    kinds = (
        "ConditionLoader Encoder Decoder Guidance Sampler Loss Metric DataError ConditionPart Conditioning Prediction"
    )
    assert set(kinds.split()) <= set(plugins.__all__)
    registries = {name for name, value in vars(plugins).items() if isinstance(value, Registry)}
    assert registries >= {
        "ENCODERS",
        "DECODERS",
        "SAMPLERS",
        "GUIDANCES",
        "LOSSES",
        "TRANSFORMS",
        "DATASETS",
        "METRICS",
    }
