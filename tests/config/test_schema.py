"""The declared keys of a config file are those that mmengine and torch read."""

import inspect

import pytest
from mmengine.runner import Runner
from mmengine.runner.loops import EpochBasedTrainLoop, IterBasedTrainLoop, ValLoop
from torch.utils.data import DataLoader

from pitikit.config import schema


@pytest.mark.parametrize(
    ("group", "readers", "taken"),
    [
        (schema.ConfigFile, [Runner], {"cfg"}),
        (schema.Dataloader, [DataLoader], set()),
        (schema.TrainLoop, [IterBasedTrainLoop, EpochBasedTrainLoop], {"runner", "dataloader"}),
        (schema.TestLoop, [ValLoop], {"runner", "dataloader", "evaluator"}),
        (schema.Randomness, [Runner.set_randomness], {"self"}),
    ],
)
def test_every_argument_of_the_reader_is_declared(group, readers, taken):
    read = {name for reader in readers for name in inspect.signature(reader).parameters}
    assert read - taken <= group.__annotations__.keys()
