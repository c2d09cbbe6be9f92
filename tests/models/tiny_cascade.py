"""A cascade that samples in milliseconds. For tests."""

import torch

from pitikit.models.cascade import Cascade
from pitikit.registry import MODELS

ENCODER = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
DECODER = dict(
    type="GlideUNet", channels=16, multipliers=(1,), res_blocks=1, attention_sizes=(), head_width=8, groups=8,
    token_width=16, dropout=0.0,
)  # fmt: skip
BASE = dict(
    type="DenoisingTranslator",
    denoiser=dict(encoder=ENCODER, decoder=dict(DECODER, image_size=8)),
    sampler=dict(type="DDPMSampler", steps=3, guidance=dict(type="CFG", scale=1.5)),
)
UPSAMPLER = dict(
    type="AdversarialUpsampler",
    denoiser=dict(encoder=ENCODER, decoder=dict(DECODER, image_size=32, low_res=True)),
    sampler=dict(type="DDIMSampler", steps=2),
)


def cascade(upsampler=UPSAMPLER, **options) -> Cascade:
    torch.manual_seed(0)
    model = MODELS.build(dict(type="Cascade", base=BASE, upsampler=upsampler, **options))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()
