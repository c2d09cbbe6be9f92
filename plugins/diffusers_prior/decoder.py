"""A U-Net of diffusers as a decoder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pitikit.plugins import DECODERS, Conditioning, Decoder

from .attention import TokenAttention
from .folder import UNET, UNetFolder, diffusers, write_scheduler

#: Embeddings of a vector, which take ``pooled``.
VECTORS = ("projection", "simple_projection")


@DECODERS.register_module()
class DiffusersUNet(Decoder):
    """A ``UNet2DConditionModel`` on pixels, which attends to the tokens where those of its texts were.

    ``pooled`` goes where the U-Net takes a vector (``class_embed_type='projection'`` or ``'simple_projection'``);
    elsewhere it stands after the tokens as one more.

    Args:
        unet: folder that diffusers has written: of the U-Net, or of a pipeline with ``unet/`` and ``scheduler/``. The
            scheduler's prediction type and betas become the model's. Or arguments of ``UNet2DConditionModel``, for
            one without weights.
        pretrained: False to take the architecture of a folder alone.
        recompute: gradient checkpointing: less memory for more time. TokenAlignment cannot follow the attention then.

    Attributes:
        unet: the network of diffusers.
        token_width: D of the tokens that it takes.
        learns_variance: True for 6 output channels.

    Raises:
        ImportError: diffusers is not installed.
        FileNotFoundError: there is no such folder, or nothing in it that can be used.
        ValueError: the U-Net needs more than x_t, t and tokens, or its output is no image.
    """

    unet: Any

    def __init__(self, unet: str | dict[str, Any], pretrained: bool = True, recompute: bool = False) -> None:
        super().__init__()
        kind = getattr(diffusers(), UNET)
        if isinstance(unet, Mapping):
            known = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
            unknown = [name for name in unet if name not in known]
            if unknown:
                raise ValueError(f"unet: got {unknown[0]!r}, expected arguments of {UNET}: {', '.join(known)}")
            _check(unet, "unet")
            self.unet = kind(**unet)
        else:
            folder = UNetFolder.find(unet)
            _check(folder.config, str(folder.path / "config.json"))
            self.predicts, self.alpha_bar = folder.predicts(), folder.alpha_bar()
            self.unet = folder.load() if pretrained else kind.from_config(folder.config)
            self._check_variance(folder)
        config = self.unet.config
        self.image_size = config.sample_size
        self.multiple = 1 << (len(config.block_out_channels) - 1)
        self.learns_variance = config.out_channels == 6
        self.token_width = _token_width(config)
        self.takes_vector = config.class_embed_type in VECTORS
        vector = config.projection_class_embeddings_input_dim
        if self.takes_vector and vector != self.token_width:
            raise ValueError(
                f"unet: got a class embedding of width {vector}, expected that of the tokens, {self.token_width}"
            )
        if recompute:
            self.unet.enable_gradient_checkpointing()
            return
        attentions = [module for module in self.unet.modules() if hasattr(module, "set_processor")]
        for attention in filter(TokenAttention.fits, attentions):
            attention.set_processor(TokenAttention(attention.heads))

    def prepare(self, cond: Conditioning) -> Conditioning:
        """Check once per image that the condition has what the U-Net takes, and no more.

        Raises:
            ValueError: it has not.
        """
        if cond.tokens.shape[1] != self.token_width:
            raise ValueError(
                f"tokens: got width {cond.tokens.shape[1]}, expected {self.token_width} of the U-Net; set that of the "
                f"encoder, or put it into dict(type='ProjectedEncoder', encoder=..., width={self.token_width})"
            )
        for name, value in (("features", cond.features), ("low_res", cond.low_res), ("known", cond.known)):
            if value is not None and len(value):
                raise ValueError(f"DiffusersUNet: got a condition with {name}, expected tokens and pooled alone")
        return cond

    def forward(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """(B, 3, H, W), (B,) and the condition to (B, 3 or 6, H, W), float32 but of a float64 model."""
        states = cond.tokens.transpose(1, 2)  # (B, L, D)
        vector = cond.pooled if self.takes_vector else None
        if vector is None:
            states = torch.cat([states, cond.pooled[:, None].to(states.dtype)], dim=1)
        # Of a process with another number of timesteps the time is counted as if there were 1000; diffusers counts all.
        steps = 1000 if self.alpha_bar is None else len(self.alpha_bar)
        time = t if steps == 1000 else t * (steps / 1000)
        output = self.unet(x_t, time, states, class_labels=vector, return_dict=False)[0]
        return output if output.dtype == torch.float64 else output.float()

    def save_pretrained(self, folder: str | Path, betas: Tensor, predicts: str) -> None:
        """Write the U-Net and a scheduler as diffusers reads them: ``folder/unet`` and ``folder/scheduler``.

        Args:
            folder: is created.
            betas: (T,) float64, of the model's schedule.
            predicts: 'eps', 'v' or 'x0'.

        Raises:
            ValueError: the decoder has weights beside those of the U-Net, such as low-rank updates.
        """
        beside = sorted({name.partition(".")[0] for name in self.state_dict()} - {"unet"})
        if beside:
            raise ValueError(
                f"DiffusersUNet: got weights of {', '.join(beside)}, expected those of the U-Net alone, which the "
                "folder holds; merge low-rank updates first (plugins/lora/convert.py merge)"
            )
        self.unet.save_pretrained(str(Path(folder, "unet")), safe_serialization=True)
        write_scheduler(Path(folder, "scheduler"), betas, predicts, self.learns_variance)

    def _check_variance(self, folder: UNetFolder) -> None:
        kind = (folder.scheduler or {}).get("variance_type")
        if self.unet.config.out_channels == 6 and kind == "learned":
            raise ValueError(
                "scheduler: got variance_type='learned', expected 'learned_range', a share between two variances"
            )


def _check(config: Mapping[str, Any], place: str) -> None:
    """Refuse U-Nets that need something else than an image, a time and tokens."""
    channels, size = config.get("in_channels", 4), config.get("sample_size")
    if channels == 4:
        raise ValueError(
            f"{place}: got in_channels=4, a U-Net on the latents of a VAE, expected 3: one on the pixels of RGB images"
        )
    if channels != 3:
        raise ValueError(f"{place}: got in_channels={channels}, expected 3: x_t alone, without a further image")
    if config.get("out_channels", 4) not in (3, 6):
        raise ValueError(
            f"{place}: got out_channels={config.get('out_channels', 4)}, expected 3, or 6 with a learned variance"
        )
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{place}: got sample_size={size}, expected the side of a square image")
    halvings = len(config.get("block_out_channels", (0,) * 4)) - 1
    if size % (1 << halvings):
        raise ValueError(f"{place}: got sample_size={size}, expected one that can be halved {halvings} times")
    allowed = {
        "class_embed_type": (None, *VECTORS),
        "num_class_embeds": (None,),
        "addition_embed_type": (None, "text"),
        "encoder_hid_dim_type": (None, "text_proj"),
        "attention_type": (None, "default"),
    }
    for key, values in allowed.items():
        if config.get(key) not in values:
            expected = " or ".join(map(repr, values))
            raise ValueError(f"{place}: got {key}={config[key]!r}, expected {expected}: tokens are its only condition")
    blocks = [*config.get("down_block_types", ("CrossAttn",)), str(config.get("mid_block_type", "CrossAttn"))]
    if not any("CrossAttn" in each for each in blocks):
        raise ValueError(
            f"{place}: got blocks without attention to tokens, expected some with, such as CrossAttnDownBlock2D"
        )


def _token_width(config: Mapping[str, Any]) -> int:
    if config["encoder_hid_dim"] is not None:
        return config["encoder_hid_dim"]
    widths = config["cross_attention_dim"]
    widths = {widths} if isinstance(widths, int) else set(widths)
    if len(widths) > 1:
        raise ValueError(
            f"unet: got cross_attention_dim={sorted(widths)}, expected one width of the tokens for all blocks"
        )
    return widths.pop()
