"""A small upsampler and a batch of it, for the tests of both kinds."""

import torch

SIDE = 32
DENOISER = dict(
    encoder=dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2),
    decoder=dict(
        type="GlideUNet", image_size=SIDE, channels=16, multipliers=(1, 1), res_blocks=1, attention_sizes=(16,),
        head_width=8, groups=8, token_width=16, dropout=0.0, low_res=True,
    ),
)  # fmt: skip
PLAIN = [dict(type="EpsMSE"), dict(type="VariationalBound")]
GENERATOR = torch.Generator().manual_seed(5)


def images(count, side):
    return (torch.rand(count, 3, side, side, generator=GENERATOR) * 255).to(torch.uint8)


BATCH = dict(image=images(4, SIDE), condition=images(4, 32), low_res=images(4, 8), id=list("abcd"))
