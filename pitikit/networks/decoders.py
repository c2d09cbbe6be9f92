"""Decoders: from a noised image and a condition to noise and variance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.diffusion.types import Conditioning
from pitikit.networks.unet import FeaturePlace, UNet, timestep_embedding
from pitikit.registry import DECODERS


class Decoder(nn.Module):
    """Base class of decoders.

    Attributes:
        image_size: side of x_t.
        takes_low_res: True for an upsampler, whose condition must have ``low_res``.
        takes_known: True for an inpainting model, whose condition may have ``known``.
        multiple: the side of an image has to be a multiple of it.
        feature_places: feature maps to which it adds the ``features`` of the condition; empty where it takes none.
        predicts: 'eps', 'v' or 'x0' where a pretrained decoder states what it was trained to predict, else None.
        alpha_bar: (T,) float64, the schedule that it was trained on where it states it, else None. A model takes both
            over; a config that contradicts them is an error.
    """

    image_size: int
    takes_low_res: bool = False
    takes_known: bool = False
    multiple: int = 1
    feature_places: tuple[FeaturePlace, ...] = ()
    predicts: str | None = None
    alpha_bar: Tensor | None = None

    def prepare(self, cond: Conditioning) -> Conditioning:
        """Compute once per image what does not depend on x_t or t; by default nothing."""
        return cond

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """(B, 3, H, W), (B,) and the condition to (B, 3 or 6, H, W): the estimate (eps, v or x0), then the variance."""


@DECODERS.register_module()
class GlideUNet(UNet, Decoder):
    """GLIDE's decoder (Nichol et al. 2022); the defaults are the released 64x64 base model, 308,728,902 values.

    The upsampler to 256x256 is ``image_size=256, multipliers=(1, 1, 2, 2, 4, 4), res_blocks=2, low_res=True``.

    Args:
        image_size: side of x_t; together with ``attention_sizes`` it places the attention.
        channels, multipliers, res_blocks, head_width, dropout, groups, recompute, channels_last: see
            :class:`~pitikit.networks.unet.UNet`.
        attention_sizes: sides of the feature maps that have attention, counted from ``image_size``.
        token_width: D of the condition tokens.
        in_channels: of x_t.
        low_res: concatenate ``low_res`` of the condition, resized bilinearly, to x_t.
        inpaint: concatenate ``known`` of the condition to x_t, before ``low_res`` as in the released weights; where
            nothing is known, as in an image from a text alone, that is zeros.
        learn_variance: predict 6 channels instead of 3.
    """

    def __init__(
        self,
        image_size: int = 64,
        channels: int = 192,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        res_blocks: int = 3,
        attention_sizes: Sequence[int] = (32, 16, 8),
        head_width: int = 64,
        token_width: int = 512,
        dropout: float = 0.1,
        in_channels: int = 3,
        low_res: bool = False,
        learn_variance: bool = True,
        groups: int = 32,
        recompute: bool = False,
        channels_last: bool = True,
        inpaint: bool = False,
    ) -> None:
        sizes = [image_size >> level for level in range(len(multipliers))]
        multiple = 1 << (len(multipliers) - 1)
        if image_size % multiple:
            raise ValueError(f"image_size={image_size} cannot be halved {len(multipliers) - 1} times")
        emb_width = 4 * channels
        super().__init__(
            in_channels=in_channels + (4 if inpaint else 0) + (3 if low_res else 0),
            out_channels=6 if learn_variance else 3,
            channels=channels,
            multipliers=multipliers,
            res_blocks=res_blocks,
            attention_levels=[level for level, size in enumerate(sizes) if size in tuple(attention_sizes)],
            head_width=head_width,
            token_width=token_width,
            emb_width=emb_width,
            dropout=dropout,
            groups=groups,
            recompute=recompute,
            channels_last=channels_last,
        )
        self.image_size = image_size
        self.takes_low_res = low_res
        self.takes_known = inpaint
        self.multiple = multiple
        self.channels = channels
        self.time_embed = nn.Sequential(nn.Linear(channels, emb_width), nn.SiLU(), nn.Linear(emb_width, emb_width))
        self.transformer_proj = nn.Linear(token_width, emb_width)

    def prepare(self, cond: Conditioning) -> Conditioning:
        """Add the keys and values that the attention blocks make of the tokens."""
        return cond if cond.kv is not None else cond._replace(kv=self.token_kv(cond.tokens))

    def forward(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """(B, 3, H, W), (B,) and the condition to (B, 6, H, W), float32 but of a float64 model.

        Raises:
            ValueError: ``low_res`` is missing from the condition of an upsampler, or given to a base model; or
                ``known`` is given to a model that does not inpaint; or the features are not those of the places.
        """
        if self.takes_low_res != (cond.low_res is not None):
            found = "none" if cond.low_res is None else "one"
            raise ValueError(f"GlideUNet(low_res={self.takes_low_res}): the condition has {found}")
        if cond.known is not None and not self.takes_known:
            raise ValueError("GlideUNet(inpaint=False): the condition has known, expected none")
        cond = self.prepare(cond)
        assert cond.kv is not None
        emb = self.time_embed(timestep_embedding(t, self.channels).to(self.transformer_proj.weight.dtype))  # (B, 4C)
        emb = emb + self.transformer_proj(cond.pooled)
        inputs = [x_t]
        if self.takes_known:
            nothing = x_t.new_zeros(len(x_t), 4, *x_t.shape[2:])
            inputs.append(nothing if cond.known is None else cond.known.to(x_t.dtype))
        if cond.low_res is not None:
            up = F.interpolate(cond.low_res, size=x_t.shape[2:], mode="bilinear", align_corners=False)
            inputs.append(up.to(x_t.dtype))
        output = self.run(torch.cat(inputs, dim=1) if len(inputs) > 1 else x_t, emb, cond.kv, cond.features)
        return output if output.dtype == torch.float64 else output.float()
