"""Accumulation, clipping and precision."""

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from pitikit.engine.optim import AutocastOptimWrapper, SeparateOptimWrappers


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, 4, generator=generator), torch.randn(12, 1, generator=generator)


def wrap(network, **kwargs):
    return AutocastOptimWrapper(optimizer=torch.optim.SGD(network.parameters(), lr=0.1), **kwargs)


def train(wrapper, network, data, batch, steps=2):
    for _ in range(steps):
        for x, y in zip(data[0].split(batch), data[1].split(batch), strict=True):
            with wrapper.optim_context(network):
                loss = (network(x) - y).square().mean()
            wrapper.update_params(loss)
    return [p.detach().clone() for p in network.parameters()]


def copy_of(network):
    other = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    other.load_state_dict(network.state_dict())
    return other


def norm_logged():
    return MessageHub.get_current_instance().get_scalar("train/grad_norm").current()


def test_accumulated_small_batches_equal_one_large(network, data):
    other = copy_of(network)
    small = wrap(other, accumulative_counts=3)
    small.initialize_count_status(other, 0, 6)
    expected = train(wrap(network), network, data, batch=12)
    found = train(small, other, data, batch=4)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    once = train(wrap(other), other, data, batch=4, steps=1)
    assert not torch.allclose(expected[0], once[0], rtol=1e-3)


def test_a_remainder_is_stepped_at_the_end(network, data):
    other = copy_of(network)
    wrapper = wrap(other, accumulative_counts=5)
    wrapper.initialize_count_status(other, 0, 3)
    expected = train(wrap(network), network, data, batch=12, steps=1)
    for a, b in zip(expected, train(wrapper, other, data, batch=4, steps=1), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_resuming_between_two_steps_keeps_the_count(network, data):
    wrapper = wrap(network, accumulative_counts=3)
    wrapper.initialize_count_status(network, 2, 30)
    before = network[0].weight.detach().clone()
    train(wrapper, network, (data[0][:4], data[1][:4]), batch=4, steps=1)
    assert not torch.equal(before, network[0].weight)


def test_both_optimizers_of_a_resumed_run_go_on_counting(network):
    both = SeparateOptimWrappers(denoiser=wrap(network, accumulative_counts=3), discriminator=wrap(network))
    both.initialize_count_status(network, 4, 10)
    assert [wrapper._inner_count for wrapper in both.values()] == [4, 4]


def test_rates_that_differ_are_logged_by_part(network):
    rates = dict(decoder=0.1, encoder=0.1, others=0.05)
    groups = [
        dict(params=[p], lr=lr, part=part) for p, (part, lr) in zip(network.parameters(), rates.items(), strict=False)
    ]
    assert AutocastOptimWrapper(optimizer=torch.optim.SGD(groups)).get_lr() == {"lr": [0.1], "lr_others": [0.05]}


@pytest.mark.parametrize(("max_norm", "length"), [(0.01, 0.01), (1e9, None)])
def test_clipping(network, data, max_norm, length):
    before = torch.cat([p.detach().flatten() for p in network.parameters()])
    after = torch.cat(
        [p.flatten() for p in train(wrap(network, clip_grad=dict(max_norm=max_norm)), network, data, 12, 1)]
    )
    moved = float((after - before).norm()) / 0.1
    # What is logged is the norm before it was clipped.
    assert moved == pytest.approx(length or norm_logged(), rel=1e-3)
    assert norm_logged() > 0.1


def test_without_clipping_the_norm_is_logged_all_the_same(network, data):
    other = copy_of(network)
    loss = (other(data[0]) - data[1]).square().mean()
    gradients = torch.autograd.grad(loss, list(other.parameters()))
    train(wrap(network), network, data, 12, 1)
    assert norm_logged() == pytest.approx(float(torch.cat([g.flatten() for g in gradients]).norm()), rel=1e-5)
    for p, q, g in zip(network.parameters(), other.parameters(), gradients, strict=True):
        torch.testing.assert_close(p, q - 0.1 * g)


def test_bfloat16_is_for_the_forward_pass_only(network, data):
    wrapper = wrap(network, precision="bfloat16")
    seen = []
    network[0].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    expected = train(wrap(copy := copy_of(network)), copy, data, 12)
    found = train(wrapper, network, data, 12)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.02)
        assert not torch.equal(a, b)


def test_unknown_precision(network):
    with pytest.raises(ValueError, match="precision='float8': expected"):
        wrap(network, precision="float8")


def test_bfloat16_training_of_the_model(run, tmp_path):
    runner = run(tmp_path, optim_wrapper__precision="bfloat16", train_cfg__max_iters=3)
    losses = runner.message_hub.get_scalar("train/loss").data[0]
    reference = run(tmp_path / "b", train_cfg__max_iters=3).message_hub.get_scalar("train/loss").data[0]
    assert losses == pytest.approx(reference, rel=0.05)
    assert list(losses) != list(reference)


def test_float16_is_refused_on_the_cpu(network):
    expected = "precision='float16' needs a GPU, the parameters are on 'cpu'; use 'bfloat16'"
    with pytest.raises(ValueError, match=expected):
        wrap(network, precision="float16")


@pytest.fixture
def float16(monkeypatch):
    """Wrappers with the gradient scaler, which torch has for the CPU, too."""
    monkeypatch.setattr("pitikit.engine.optim.NO_FLOAT16", ())
    return lambda network, **kwargs: wrap(network, precision="float16", **kwargs)


def test_float16_scales_the_loss_and_steps_as_float32(network, data, float16):
    wrapper = float16(network, loss_scale=1024.0, clip_grad=dict(max_norm=0.5))
    seen = []
    network[2].register_forward_hook(lambda module, args, output: seen.append(output))
    network[0].weight.register_hook(lambda g: seen.append(g.abs().max()))
    expected = train(wrap(other := copy_of(network), clip_grad=dict(max_norm=0.5)), other, data, 12)
    norm = norm_logged()
    found = train(wrapper, network, data, 12)
    assert seen[0].dtype == torch.float16
    # Gradients are scaled while they flow; what is clipped and logged is not.
    assert seen[1] > 10
    assert norm_logged() == pytest.approx(norm, rel=0.02)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_float16_leaves_out_a_step_that_overflows(network, data, float16, optimizer):
    made = getattr(torch.optim, optimizer)(network.parameters(), lr=0.1, fused=True)
    wrapper = AutocastOptimWrapper(precision="float16", loss_scale=2.0**40, optimizer=made)
    before = [p.detach().clone() for p in network.parameters()]
    after = train(wrapper, network, data, 12, steps=1)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert wrapper.scaler.get_scale() == 2.0**39


def test_float16_resumes_with_its_scale(network, data, float16):
    wrapper = float16(network, loss_scale=2.0**40)
    train(wrapper, network, data, 12, steps=3)
    state = wrapper.state_dict()
    assert state["scaler"]["scale"] == 2.0**37
    other = float16(copy_of(network))
    other.load_state_dict(state)
    assert other.scaler.state_dict() == wrapper.scaler.state_dict()
    # A run that goes on in another precision, and one that comes from it.
    wrap(network).load_state_dict(state)
    float16(network).load_state_dict(wrap(network).state_dict())
    assert "scaler" not in wrap(network).state_dict()
    assert "scaler" in state


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_norm_that_is_measured_is_that_of_all_gradients_together(order):
    generator = torch.Generator().manual_seed(3)
    network = nn.Sequential(nn.Conv2d(5, 6, 3), nn.Linear(7, 1))
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    network[0].weight.grad = network[0].weight.grad.contiguous(memory_format=order)
    network[1].bias.grad = None
    wrapper = wrap(network)
    wrapper._clip_grad()
    gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert norm_logged() == pytest.approx(float(gradients.double().norm()), rel=1e-5)
