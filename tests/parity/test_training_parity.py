"""Three training steps of each stage: losses, gradients, AdamW and moving average."""

import re

import numpy as np
import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses.denoising import EpsMSE, VariationalBound
from pitikit.models.denoiser import Denoiser
from pitikit.networks.decoders import GlideUNet
from pitikit.networks.encoders import SemanticEncoder

RTOL = 1e-4
WEIGHTS = torch.tensor([1.0, 0.7])


def steps(stage, network, average, lr, rate):
    """Train as the released code does; yields the terms and gradient norms of each iteration."""
    part = network.encoder if stage == 1 else network
    schedule = NoiseSchedule("squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(part.parameters(), lr=lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(400 + stage)
    for _ in range(3):
        x0 = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
        condition = torch.rand(2, 3, 256, 256, generator=generator) * 2 - 1
        t = torch.randint(0, 1000, (2,), generator=generator)
        noise = torch.randn(2, 3, 64, 64, generator=generator)
        x_t = schedule.add_noise(x0, t, noise)
        cond = network.encode(condition)
        prediction = Prediction.from_output(network.decode(x_t, t, cond), x_t, schedule.at(t))
        target = schedule.target(x0, t, noise)
        mse, bound = EpsMSE()(prediction, target), VariationalBound()(prediction, target)
        loss = ((mse + bound) * WEIGHTS).mean()
        optimizer.zero_grad()
        loss.backward()
        norms = {name: p.grad.double().norm().item() for name, p in part.named_parameters()}
        optimizer.step()
        for name, p in part.named_parameters():
            average[name].mul_(rate).add_(p.detach(), alpha=1 - rate)
        yield dict(t=t, mse=mse, vb=bound, loss=loss), norms


@pytest.mark.parametrize("stage", [1, 2])
def test_training_steps(reference, weights_rule, compare, stage):
    numbers = reference(f"train_steps_stage{stage}")
    decoder = GlideUNet(channels=64, multipliers=(1, 1, 1, 2), res_blocks=1, dropout=0.0)
    network = weights_rule(Denoiser(SemanticEncoder(), decoder)).train()
    part = network.encoder if stage == 1 else network
    network.requires_grad_(False)
    part.requires_grad_(True)
    average = {name: p.detach().clone() for name, p in part.named_parameters()}
    lr, rate = float(numbers.value("lr")), float(numbers.value("ema_rate"))
    prefix = "encoder." if stage == 1 else ""
    stored_names = [str(name) for name in numbers.value("first_grad_norms_names")]
    for index, (terms, norms) in enumerate(steps(stage, network, average, lr, rate)):
        key = f"it{index}_"
        assert terms["t"].tolist() == numbers.value(f"{key}t").tolist()
        for what in ("mse", "vb", "loss"):
            compare.close(f"{key}{what}", terms[what], numbers[f"{key}{what}"], rtol=RTOL)
        total = np.sqrt(sum(norm**2 for norm in norms.values()))
        compare.close(f"{key}grad norm", total, numbers[f"{key}grad_norm"], rtol=RTOL)
        if index == 0:
            ours = [norms[name.removeprefix(prefix)] for name in stored_names]
            assert len(ours) == len(norms)
            # Gradients that cancel to nothing (a bias before a norm) are rounding on both sides.
            expected = numbers["first_grad_norms"]
            floor = 1e-6 * expected[0].max()
            compare.close("first gradients", ours, expected, rtol=RTOL, atol=floor)
    parameters = dict(part.named_parameters())
    # The instance norm behind them removes these biases: their gradients are rounding, of which
    # Adam makes whole steps all the same.
    known = np.array([re.search(r"cnn\.conv[1-5]\.bias", name) is None for name in stored_names])
    assert known.sum() == len(stored_names) - 5
    for what, values in (("param", parameters), ("ema", average)):
        sums = [values[n.removeprefix(prefix)].detach().abs().double().sum() for n in stored_names]
        stored = numbers.value(f"final_{what}_abs_sums")
        compare.close(f"sums of {what}", np.array(sums)[known], stored[known], rtol=RTOL)
    whole = dict(network.named_parameters())
    compare.close("class token", whole["encoder.cls_token"], numbers["final_cls_token"], atol=1e-4)
    token = average["cls_token" if stage == 1 else "encoder.cls_token"]
    compare.close("its average", token, numbers["ema_cls_token"], atol=1e-5)
    projection = whole["decoder.transformer_proj.weight"]
    stored = numbers["final_transformer_proj_weight_sub"]
    compare.close("projection", projection, stored, atol=1e-4)
