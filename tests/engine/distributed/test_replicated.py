"""Copies of a model by way of DDP, in a group of one; test_two_ranks.py trains with two."""

import gc
import weakref

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from pitikit.engine.distributed import replicated
from pitikit.engine.distributed.replicated import Replicated


@pytest.fixture
def made(group, monkeypatch):
    """Weak references to the DDPs that are made."""
    found = []

    class Noted(replicated.DistributedDataParallel):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            found.append(weakref.ref(self))

    monkeypatch.setattr(replicated, "DistributedDataParallel", Noted)
    return found


def learning(ddp):
    return sum(parameter.requires_grad for parameter in ddp().parameters())


def test_copies_begin_as_rank_0_does(group, monkeypatch):
    sent = []
    monkeypatch.setattr(replicated.dist, "broadcast", lambda value, source: sent.append((value.data_ptr(), source)))
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert Replicated()(model) is model
    assert sent == [(value.data_ptr(), 0) for value in model.state_dict().values()] and len(sent) == 7


def test_the_model_keeps_its_names_and_its_results(made):
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    x, names = torch.randn(4, 2), list(model.state_dict())
    expected = model(x)
    model = Replicated()(model)
    assert torch.equal(model(x), expected) and len(made) == 1
    assert list(model.state_dict()) == names and [name for name, _ in model.named_modules()] == ["", "0", "1"]


def test_sampling_exchanges_nothing(made):
    model = Replicated()(nn.Linear(2, 3))
    with torch.no_grad():
        model(torch.randn(4, 2))
    assert not made


def test_ddp_is_made_anew_when_something_is_thawed(made):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    model = Replicated()(model)
    # As a stage freezes a part before the first pass; then the border; then a discriminator's turns.
    for frozen, count in (("1", 1), ("1", 1), ("", 2), ("0", 2), ("", 2)):
        for name, part in model.named_children():
            part.requires_grad_(name != frozen)
        model.zero_grad()
        model(torch.randn(5, 2)).square().mean().backward()
        assert len(made) == count
        assert [part.weight.grad is None for part in model] == [str(n) == frozen for n in range(2)]
    gc.collect()
    # Four, and the one that is never reached. The DDP before would exchange the gradients once more.
    assert made[0]() is None and learning(made[1]) == 4 + 1


class Turns(BaseModel):
    """Two networks that learn in turn, each in a pass of its own, and a step that extends another."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.steps = nn.Linear(2, 2), nn.Linear(2, 2), 0

    def forward(self, x, mode):
        return getattr(self, mode)(x)

    def train_step(self, data, optim_wrapper):
        self.steps += 1
        for part in ("a", "b"):
            self._run_forward(dict(x=data), part).sum().backward()
        return {}


def test_a_step_of_the_models_own(made, capfd):
    model = Replicated()(Turns())
    for _ in range(2):
        model.train_step(torch.ones(1, 2), None)
    assert model.steps == 2 and len(made) == 1
    assert "arning" not in capfd.readouterr().err
    assert all(torch.equal(part.weight.grad, torch.full((2, 2), 2.0)) for part in (model.a, model.b))
