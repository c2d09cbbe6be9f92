"""When a loss acts: from an iteration on, and at which timesteps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """A gate that opens a loss after some iterations, and weights samples by the share of the image in x_t.

    At a large t the estimated clean image is a blur, however good the network is, and neither a discriminator nor
    VGG gives a useful gradient. The released code acts at every t.

    Args:
        start: iterations before the loss acts; 100 in the released code. Kept in the state dict, so that a resumed
            training does not wait again. Iterations that only accumulate gradients count, as they do for stages.
        max_t: the largest timestep at which the loss acts; None for all.
        alpha_power: a sample has the weight alpha_bar ** alpha_power; 0 for equal ones.
    """

    iteration: Tensor

    def __init__(self, start: int = 0, max_t: int | None = None, alpha_power: float = 0.0) -> None:
        super().__init__()
        if start < 0 or (max_t is not None and max_t < 0) or alpha_power < 0:
            raise ValueError(f"start={start}, max_t={max_t}, alpha_power={alpha_power}: expected none below 0")
        self.start = start
        self.max_t = max_t
        self.alpha_power = alpha_power
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    @property
    def open(self) -> bool:
        """True if the loss acts in the present iteration."""
        return self.start == 0 or int(self.iteration) >= self.start

    def advance(self) -> None:
        """Count an iteration of training; one without gradients or in eval mode is none."""
        if self.start and self.training and torch.is_grad_enabled():
            self.iteration += 1

    def weights(self, t: Tensor, alpha_bar: Tensor) -> Tensor:
        """Weight of each sample: timesteps (B,) and alpha_bar (B, 1, 1, 1) to (B,) float32."""
        weight = alpha_bar.flatten().pow(self.alpha_power)
        if self.max_t is not None:
            weight = weight * (t <= self.max_t)
        return weight.float()
