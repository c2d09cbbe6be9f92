"""The adversarial losses: both sides of each, and which way their gradients push."""

import math

import pytest
import torch
from torch import nn

from pitikit.losses.adversarial import HingeAdversarialLoss, LogAdversarialLoss, WGANGPLoss

LOGITS = torch.tensor([[-2.0, 0.0], [0.5, 3.0]]).view(2, 1, 1, 2)
ALL = (LogAdversarialLoss, HingeAdversarialLoss, WGANGPLoss)


def softplus(x):
    return math.log1p(math.exp(x))


class Linear(nn.Module):
    """A discriminator with a gradient that can be told by hand."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))
        self.seen = []

    def forward(self, image):
        self.seen.append(image)
        return self.scale * image.sum(dim=1, keepdim=True)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    fake = (torch.rand(2, 3, 4, 4, generator=generator) * 2 - 1).requires_grad_(True)
    return fake, torch.rand(2, 3, 4, 4, generator=generator)


def test_values_by_hand():
    log = LogAdversarialLoss()
    expected = [(softplus(2) + softplus(0)) / 2, (softplus(-0.5) + softplus(-3)) / 2]
    assert log.generator(LOGITS).tolist() == pytest.approx(expected, rel=1e-5)
    formula = torch.log(1 - torch.sigmoid(LOGITS)).flatten(1).mean(1)
    torch.testing.assert_close(LogAdversarialLoss(saturating=True).generator(LOGITS), formula)
    discriminator = -(torch.log(torch.sigmoid(-LOGITS)) + torch.log(1 - torch.sigmoid(LOGITS))).flatten(1).mean(1)
    torch.testing.assert_close(log.discriminator(LOGITS, -LOGITS), discriminator)
    assert HingeAdversarialLoss().generator(LOGITS).tolist() == [1.0, -1.75]
    assert HingeAdversarialLoss().discriminator(LOGITS, LOGITS).tolist() == [0.5 + 2.0, 2.75 + 0.25]
    assert WGANGPLoss().discriminator(LOGITS, LOGITS.flip(0)).tolist() == [-2.75, 2.75]


@pytest.mark.parametrize("kind", ALL)
def test_the_two_sides_pull_against_each_other(kind, pair):
    loss, net = kind(), Linear()
    terms = loss.discriminator_losses(net, *pair)
    assert terms["loss_d"].ndim == 0 and {"d_fake", "d_real"} <= terms.keys()
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss.generator(logits).sum().backward()
    assert (logits.grad < 0).all()
    fake, real = torch.zeros(2, 1, 1, 2, 2, requires_grad=True).unbind()
    on_fake, on_real = torch.autograd.grad(loss.discriminator(fake, real).sum(), (fake, real))
    assert (on_fake > 0).all() and (on_real < 0).all()


@pytest.mark.parametrize("kind", ALL)
def test_nothing_flows_to_what_made_the_images(kind, pair):
    fake, real = pair
    net = Linear()
    kind().discriminator_losses(net, fake, real.requires_grad_(True))["loss_d"].backward()
    assert fake.grad is None and real.grad is None and net.scale.grad is not None


def test_gradient_penalty(pair):
    net = Linear()
    terms = WGANGPLoss(penalty=5.0).discriminator_losses(net, *pair)
    norm = 0.1 * math.sqrt(3 * 16)
    assert float(terms["penalty"]) == pytest.approx(5 * (norm - 1) ** 2, rel=1e-5)
    plain = float(terms["d_fake"] - terms["d_real"])
    assert terms["loss_d"].item() == pytest.approx(plain + float(terms["penalty"]), rel=1e-5)
    mixed, (fake, real) = net.seen[-1].detach(), pair
    low, high = torch.minimum(fake, real), torch.maximum(fake, real)
    assert ((mixed >= low - 1e-6) & (mixed <= high + 1e-6)).all()
    # A point of its own for each sample.
    shares = ((mixed - fake) / (real - fake)).flatten(1).detach()
    assert shares.std(dim=1).max() < 1e-3 < (shares[0] - shares[1]).abs().min()
    # Of the penalty alone, which pulls the gradient's length up to 1.
    (found,) = torch.autograd.grad(WGANGPLoss(penalty=5.0).penalty(net, fake, real).mean(), net.scale)
    assert float(found) == pytest.approx(5 * 2 * (norm - 1) * norm / 0.1, rel=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_samples_count_by_their_weight(kind, pair, monkeypatch):
    share = torch.rand(2, 1, 1, 1)
    monkeypatch.setattr("torch.rand", lambda n, *_, **__: share[:n])
    fake, real = pair
    first = kind().discriminator_losses(Linear(), fake[:1], real[:1])["loss_d"]
    half = kind().discriminator_losses(Linear(), fake, real, torch.tensor([1.0, 0.0]))["loss_d"]
    torch.testing.assert_close(2 * half, first)


def test_the_released_defaults():
    loss = WGANGPLoss()
    assert (loss.weight, loss.penalty_weight, loss.gate.start, loss.gate.max_t) == (0.01, 10.0, 100, None)
    with pytest.raises(ValueError, match="penalty=-1"):
        WGANGPLoss(penalty=-1)
