"""Models that can be sharded, and tensors that may be."""

import pytest
import torch
from torch import nn

from pitikit.config import load_config
from pitikit.engine.checkpoints.loading import load_state
from pitikit.engine.distributed.failures import DistributedError
from pitikit.engine.distributed.sharded import FullySharded, full_tensor, gathered, is_sharded, local_shard, shard_like
from pitikit.registry import MODELS
from pitikit.weights import WeightsError


def test_shares_of_a_model_with_two_optimizers_are_refused(group, repo):
    model = MODELS.build(load_config(repo / "tests/configs/tiny_upsampler.py").model)
    with pytest.raises(DistributedError, match="AdversarialUpsampler has a train_step of its own: use .*'Replicated'"):
        FullySharded()(model)
    assert not any(map(is_sharded, model.parameters()))


def test_tensors_that_are_not_sharded():
    model = nn.Linear(2, 3)
    state = model.state_dict()
    assert local_shard(model.weight) is full_tensor(model.weight) is model.weight
    tree = gathered({"a": [state["weight"]], "b": (1, "c")})
    assert torch.equal(tree["a"][0], model.weight) and tree["b"] == (1, "c")
    load_state(model, {name: shard_like(torch.full_like(value, 3.0), value) for name, value in state.items()})
    assert (model.weight == 3).all()
    with pytest.raises(WeightsError, match="1 tensors missing, such as 'bias'"):
        load_state(model, {"weight": state["weight"]})
