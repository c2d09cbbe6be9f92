"""Adversarial losses (PITI, sec. 3.3): of the discriminator and of the denoiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.losses.gating import Gate
from pitikit.registry import LOSSES

Discriminator = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) in [-1, 1] to logits (B, 1, h, w), high for real ones."""


class AdversarialLoss(nn.Module):
    """The two sides of an adversarial loss; the network and its optimizer belong to the model.

    Args:
        weight: factor on the denoiser's side; 0.01 is the released one.
        name: how the logs call it.
        start, max_t, alpha_power: when it acts, see :class:`~pitikit.losses.gating.Gate`; it holds for both sides.
    """

    def __init__(
        self,
        weight: float = 0.01,
        name: str = "adv",
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.name = name
        self.gate = Gate(start, max_t, alpha_power)

    @abstractmethod
    def generator(self, fake_logits: Tensor) -> Tensor:
        """Logits (B, 1, h, w) of generated images to the unweighted loss (B,) of what generated them."""

    @abstractmethod
    def discriminator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Logits (B, 1, h, w) of both kinds to the discriminator's loss (B,)."""

    def penalty(self, net: Discriminator, fake: Tensor, real: Tensor, share: Tensor | None = None) -> Tensor | None:
        """(B,), added to the discriminator's loss; None for nothing. For ``share`` see :meth:`discriminator_losses`."""
        return None

    def discriminator_losses(
        self,
        net: Discriminator,
        fake: Tensor,
        real: Tensor,
        weight: Tensor | None = None,
        share: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The discriminator's side.

        Args:
            net: the discriminator.
            fake, real: (B, 3, H, W) in [-1, 1]; no gradients flow to what made them.
            weight: (B,), of the samples; None for equal ones.
            share: (B, 1, 1, 1) in 0 to 1, of the real image at the points between the two where a penalty is taken;
                drawn from torch's global generator by default.

        Returns:
            Scalars: ``loss_d`` to minimise; for the logs ``d_fake`` and ``d_real``, the mean logits, and ``penalty``
            where there is one.
        """
        fake, real = fake.detach(), real.detach()
        # Two passes: in one, rounding gives the last bias a gradient that is truly 0 (of a difference of logits),
        # and Adam would turn it into full steps.
        fake_logits, real_logits = net(fake), net(real)
        loss = self.discriminator(fake_logits, real_logits)  # (B,)
        logs = {"d_fake": fake_logits.detach().mean(), "d_real": real_logits.detach().mean()}
        penalty = self.penalty(net, fake, real, share)
        if penalty is not None:
            loss = loss + penalty
            logs["penalty"] = penalty.detach().mean()
        if weight is not None:
            loss = weight * loss
        return {"loss_d": loss.mean(), **logs}


def _per_sample(values: Tensor) -> Tensor:
    """(B, 1, h, w) to (B,), the mean over patches, in float32 whatever the autocast."""
    return values.float().flatten(1).mean(dim=1)


@LOSSES.register_module()
class LogAdversarialLoss(AdversarialLoss):
    """The paper's form: log D(x0) + log(1 - D(x0-hat)), with D the logistic function of the logits.

    Args:
        saturating: let the denoiser minimise log(1 - D), as the formula has it; by default it maximises log D, which
            has gradients where the discriminator is sure (Goodfellow et al. 2014, sec. 3).
        weight, name, start, max_t, alpha_power: see :class:`AdversarialLoss`.
    """

    def __init__(
        self,
        weight: float = 0.01,
        name: str = "adv",
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
        saturating: bool = False,
    ) -> None:
        super().__init__(weight, name, start, max_t, alpha_power)
        self.saturating = saturating

    def generator(self, fake_logits: Tensor) -> Tensor:
        """-log D, or log(1 - D) where ``saturating``."""
        return _per_sample(-F.softplus(fake_logits) if self.saturating else F.softplus(-fake_logits))

    def discriminator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """-log D(real) - log(1 - D(fake))."""
        return _per_sample(F.softplus(-real_logits)) + _per_sample(F.softplus(fake_logits))


@LOSSES.register_module()
class HingeAdversarialLoss(AdversarialLoss):
    """The hinge form (Lim & Ye 2017; Miyato et al. 2018); goes with a discriminator with spectral norm.

    Args:
        weight, name, start, max_t, alpha_power: see :class:`AdversarialLoss`.
    """

    def generator(self, fake_logits: Tensor) -> Tensor:
        """The negative logit."""
        return -_per_sample(fake_logits)

    def discriminator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """max(0, 1 - real) + max(0, 1 + fake)."""
        return _per_sample(F.relu(1 - real_logits)) + _per_sample(F.relu(1 + fake_logits))


@LOSSES.register_module()
class WGANGPLoss(AdversarialLoss):
    """Wasserstein discriminator with gradient penalty (Gulrajani et al. 2017), the released form.

    The gradient is that of the sum over patches, as in the released code.

    Args:
        penalty: factor on (|gradient| - 1)^2.
        weight, name, start, max_t, alpha_power: see :class:`AdversarialLoss`.
    """

    def __init__(
        self,
        weight: float = 0.01,
        name: str = "adv",
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
        penalty: float = 10.0,
    ) -> None:
        super().__init__(weight, name, start, max_t, alpha_power)
        if penalty < 0:
            raise ValueError(f"penalty={penalty}: expected 0 or more")
        self.penalty_weight = penalty

    def generator(self, fake_logits: Tensor) -> Tensor:
        """The negative logit."""
        return -_per_sample(fake_logits)

    def discriminator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """The difference, fake less real."""
        return _per_sample(fake_logits) - _per_sample(real_logits)

    def penalty(self, net: Discriminator, fake: Tensor, real: Tensor, share: Tensor | None = None) -> Tensor | None:
        """Penalty at random points between fake and real."""
        share = torch.rand(len(real), 1, 1, 1, device=real.device) if share is None else share
        mixed = (share * real + (1 - share) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(net(mixed).float().sum(), mixed, create_graph=True)
        norm = gradient.flatten(1).norm(dim=1)  # (B,)
        return self.penalty_weight * (norm - 1).square()
