"""Templates of plugins about the model: an encoder, a sampler, a guidance, a loss."""

from __future__ import annotations

from pitikit.apis.new_plugin.kinds import Kind
from pitikit.apis.new_plugin.texts import TRANSLATED

ENCODER = Kind(
    registry="ENCODERS",
    component="${Camel}Encoder",
    summary="SceneWorld label maps through ${component}: the prior adapted in two stages with 2,000 pairs.",
    imports="""import torch
from torch import Tensor, nn

from pitikit.plugins import ENCODERS, Encoder
""",
    code='''@ENCODERS.register_module()
class ${Camel}Encoder(Encoder):
    """One token for each patch of the condition, by a single convolution.

    Args:
        in_channels: of the condition.
        input_size: side of the condition in pixels.
        patch: side of a patch in pixels; L is (input_size / patch) squared.
        width: D of the tokens, the decoder's ``token_width``.
    """

    def __init__(self, in_channels: int = 3, input_size: int = 256, patch: int = 16, width: int = 96) -> None:
        super().__init__()
        self.in_channels, self.input_size = in_channels, input_size
        self.patches = nn.Conv2d(in_channels, width, patch, patch)

    def null_condition(self, batch: int) -> Tensor:
        """The input that stands for no condition: white, (B, C, S, S)."""
        weight = self.patches.weight
        return torch.ones(batch, self.in_channels, self.input_size, self.input_size).to(weight)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) in [-1, 1] to tokens (B, D, L) and pooled (B, D)."""
        tokens = self.patches(condition).flatten(2)
        return tokens, tokens.mean(dim=2)
''',
    config="""encoder = dict(_delete_=True, type="${Camel}Encoder", input_size=256, patch=16, width=96)
model = dict(denoiser=dict(encoder=encoder))
""",
    test_imports=("ENCODERS",),
    test=TRANSLATED
    + """def test_tokens(plugin):
    encoder = ENCODERS.build(dict(type="${Camel}Encoder", in_channels=1, input_size=32, patch=8, width=12))
    tokens, pooled = encoder(torch.zeros(2, 1, 32, 32))
    assert tokens.shape == (2, 12, 16) and pooled.shape == (2, 12)
    assert encoder.null_condition(3).shape == (3, 1, 32, 32)


def test_it_learns_and_translates(cfg):
    model, _ = trained_a_step(cfg)
    gradients = [each.grad for each in model.denoiser.encoder.parameters()]
    assert all(each is not None and each.abs().sum() > 0 for each in gradients)
    assert translated(cfg).shape == (1, 1, 64, 64, 3)
""",
    readme="""`${Camel}Encoder` is one convolution; replace `forward`. It returns `tokens` (B, D, L), which the
decoder attends to, and `pooled` (B, D), which is added to its time embedding. `null_condition` returns the input that
stands for no condition. The small models align the tokens with places (`TokenAlignment(grid=16)`): tokens of another
number need another `grid`, or `model.losses` without it.
""",
)

SAMPLER = Kind(
    registry="SAMPLERS",
    component="${Camel}Sampler",
    summary="SceneWorld label maps, sampled by ${component}: the prior adapted in two stages with 2,000 pairs.",
    imports="""from typing import Any

from torch import Tensor

from pitikit.plugins import SAMPLERS, Denoise, NoiseLevel, Sampler, SamplingState
""",
    code='''@SAMPLERS.register_module()
class ${Camel}Sampler(Sampler):
    """Jump to the estimated image and noise it again, as consistency models do (Song et al. 2023, alg. 1)."""

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Any
    ) -> Tensor:
        """Go from the noise level ``now`` to ``after``; ``noise.randn`` gives each sample a draw of its own."""
        x0 = denoise(x, now.t).x0
        fresh = noise.randn(x.shape[1:])
        return after.alpha_bar.sqrt().to(x) * x0 + (1 - after.alpha_bar).sqrt().to(x) * fresh
''',
    config="""guidance = dict(type="NormalizedCFG", scale=3.0)
model = dict(sampler=dict(_delete_=True, type="${Camel}Sampler", steps=15, spacing="log_snr", guidance=guidance))
""",
    test_imports=("SAMPLERS",),
    test=TRANSLATED
    + """def test_it_samples(cfg):
    assert cfg.model.sampler.type == "${Camel}Sampler" and SAMPLERS.build(cfg.model.sampler)
    images = translated(cfg)
    assert images.shape == (1, 1, 64, 64, 3) and np.array_equal(images, translated(cfg))


def test_it_is_another_sampler(cfg):
    images = translated(cfg)
    cfg.model.sampler.type = "DDIMSampler"
    assert not np.array_equal(images, translated(cfg))
""",
    readme="""`${Camel}Sampler` is its `step`; the loop is that of all samplers. `denoise(x, t)` is guided and
returns a `Prediction` with `x0`, `eps` and `v`; it may be called more than once. A class with `memory = 1` finds the
prediction before in `state.earlier`. Trained weights serve another sampler as they are:

    pitikit translate ${config} weights/scenes_mask.safetensors configs/scenes/inputs/mask --out results
""",
)

GUIDANCE = Kind(
    registry="GUIDANCES",
    component="${Camel}Guidance",
    summary="SceneWorld label maps, guided by ${component} too: the prior adapted in two stages with 2,000 pairs.",
    imports="""from torch import Tensor

from pitikit.plugins import GUIDANCES, Denoise, Prediction
""",
    code='''@GUIDANCES.register_module()
class ${Camel}Guidance:
    """Pull the mean of every estimated image towards a level.

    Args:
        level: -1 (black) to 1 (white).
        share: of the difference that is made up for at every step, 0 to 1.
    """

    needs_null = False

    def __init__(self, level: float = 0.0, share: float = 0.5) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"${Camel}Guidance: got share={share}, expected 0 to 1")
        self.level, self.share = level, share

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: object) -> Denoise:
        """Turn one denoiser into another; called once a sampling."""

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            prediction = denoise(x_t, t)
            lacking = self.level - prediction.x0.mean(dim=(1, 2, 3), keepdim=True)
            return prediction.with_x0(prediction.x0 + self.share * lacking)

        return guided
''',
    config="""guidance = [dict(type="NormalizedCFG", scale=3.0), dict(type="${Camel}Guidance", level=0.0)]
model = dict(sampler=dict(guidance=guidance))
""",
    test_imports=("GUIDANCES",),
    test=TRANSLATED
    + """def test_it_guides(cfg):
    def mean(level):
        cfg.model.sampler.guidance[1].level = level
        return translated(cfg).mean()

    assert mean(-0.9) < mean(0.0) < mean(0.9)


def test_a_wrong_share_is_refused(plugin):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        GUIDANCES.build(dict(type="${Camel}Guidance", share=2.0))
""",
    readme="""`${Camel}Guidance` pulls at the brightness; replace what `guided` does with the prediction. With
`needs_null = True` the null condition is encoded, and `null_denoise` is its denoiser. State from step to step lives in
`wrap`. Of a list of guidances each wraps the one before it. Trained weights serve another guidance as they are:

    pitikit translate ${config} weights/scenes_mask.safetensors configs/scenes/inputs/mask --out results
""",
)

LOSS = Kind(
    registry="LOSSES",
    component="${Camel}Loss",
    summary="SceneWorld label maps with ${component}: the prior adapted in two stages with 2,000 pairs.",
    imports="""from torch import Tensor
from torch.nn.functional import huber_loss

from pitikit.plugins import LOSSES, Loss, Prediction, Target
""",
    code='''@LOSSES.register_module()
class ${Camel}Loss(Loss):
    """Huber loss of the noise estimate.

    Args:
        weight: factor on the value.
        name: in the logs, after 'loss_'.
        delta: error from which on the loss is linear.
    """

    def __init__(self, weight: float = 1.0, name: str = "${name}", delta: float = 1.0) -> None:
        super().__init__(weight, name)
        self.delta = delta

    def forward(self, pred: Prediction, target: Target) -> Tensor:
        """The unweighted loss of each sample, (B,)."""
        return huber_loss(pred.eps, target.noise, reduction="none", delta=self.delta).flatten(1).mean(dim=1)
''',
    config="""# The losses of the small models, and this one.
losses = [
    dict(type="EpsMSE", v_weight=5.0),
    dict(type="VariationalBound"),
    dict(type="TokenAlignment", grid=16),
    dict(type="${Camel}Loss", weight=0.5),
]
model = dict(losses=losses)
""",
    test_imports=("LOSSES",),
    test="""def test_it_is_one_of_the_losses(cfg):
    _, losses = trained_a_step(cfg)
    assert losses["loss_${name}"] > 0


def test_it_alone_reaches_the_decoder(cfg):
    cfg.model.losses = [dict(type="${Camel}Loss", delta=0.5)]
    model, losses = trained_a_step(cfg)
    assert losses["loss"] == losses["loss_${name}"]
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in model.denoiser.decoder.parameters())
    assert LOSSES.build(dict(type="${Camel}Loss")).weight == 1.0
""",
    readme="""`${Camel}Loss` is a second loss on the noise; replace `forward`, which gets the `Prediction`
(`x0`, `eps`, `v`) and the `Target` (`x0`, `noise`, `t` and others). A loss on the estimated image derives from
`ClampedImageLoss` and gets `start`, `max_t` and `alpha_power`. `prepare` reads files before a training.
""",
)
