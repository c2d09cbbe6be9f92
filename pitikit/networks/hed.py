"""HED (1504.06375), the edge detector that PITI's sketches come from, with weights in Caffe's own file."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_DEPTHS = (2, 2, 3, 3, 3)
_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
# The first convolution pads so much that the coarsest map still covers the image.
_PAD = 35


class HED(nn.Module):
    """VGG-16 with an output at each of its five sizes, and one that fuses them.

    Args:
        widths: channels of the five stages; those of VGG-16 by default.
    """

    def __init__(self, widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512)) -> None:
        super().__init__()
        before = 3
        for stage, (after, depth) in enumerate(zip(widths, _DEPTHS, strict=True), 1):
            for place in range(1, depth + 1):
                padding = _PAD if stage == place == 1 else 1
                self.add_module(f"conv{stage}_{place}", nn.Conv2d(before, after, 3, padding=padding))
                before = after
            self.add_module(f"score-dsn{stage}", nn.Conv2d(after, 1, 1))
        self.add_module("new-score-weighting", nn.Conv2d(5, 1, 1))

    @classmethod
    def from_layers(cls, layers: Mapping[str, list[Tensor]]) -> HED:
        """The network with the weights of a Caffe file, layer by layer, in eval mode.

        Raises:
            ValueError: they are those of another network.
        """
        lacking = [f"conv{stage}_1" for stage in range(1, 6) if f"conv{stage}_1" not in layers]
        if lacking:
            raise ValueError(f"weights of HED: got the layers {sorted(layers)[:8]}, expected {', '.join(lacking)} too")
        a, b, c, d, e = (layers[f"conv{stage}_1"][0].shape[0] for stage in range(1, 6))
        network = cls((a, b, c, d, e))
        state = {}
        for name, _ in network.named_children():
            if len(layers.get(name, ())) != 2:
                raise ValueError(f"weights of HED: got {len(layers.get(name, ()))} blobs of {name}, expected 2")
            state[f"{name}.weight"], state[f"{name}.bias"] = layers[name][0], layers[name][1].reshape(-1)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"weights of HED: got other shapes ({error}), expected those of VGG-16") from error
        return network.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Detect edges.

        Args:
            image: (B, 3, H, W), RGB in [0, 1].

        Returns:
            (B, 1, H, W) in [0, 1], of the fused output.
        """
        height, width = image.shape[2:]
        x = image.flip(1) * 255 - image.new_tensor(_MEAN_BGR)[:, None, None]
        maps = []
        for stage, depth in enumerate(_DEPTHS, 1):
            if stage > 1:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            for place in range(1, depth + 1):
                x = F.relu(self.get_submodule(f"conv{stage}_{place}")(x))
            score = enlarged(self.get_submodule(f"score-dsn{stage}")(x), 2 ** (stage - 1))
            top, left = (score.shape[2] - height) // 2, (score.shape[3] - width) // 2
            maps.append(score[:, :, top : top + height, left : left + width])
        return torch.sigmoid(self.get_submodule("new-score-weighting")(torch.cat(maps, dim=1)))


def enlarged(x: Tensor, factor: int) -> Tensor:
    """(B, 1, h, w) by Caffe's bilinear deconvolution: (B, 1, (h + 1) · factor, (w + 1) · factor)."""
    if factor == 1:
        return x
    ramp = 1 - (torch.arange(2 * factor, dtype=x.dtype, device=x.device) + 0.5 - factor).abs() / factor
    return F.conv_transpose2d(x, (ramp[:, None] * ramp)[None, None], stride=factor)
