"""Guidance of a model with a text beside its condition: a scale for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pitikit.diffusion.guidance.base import finite
from pitikit.diffusion.guidance.parts import PartsCFG, Share
from pitikit.registry import GUIDANCES


@GUIDANCES.register_module()
class DualCFG(PartsCFG):
    """Classifier-free guidance with a scale for the condition and one for the text (Brooks et al. 2023, eq. 3).

    eps(null) + scale (eps(condition) - eps(null)) + text_scale (eps(both) - eps(condition)); the variance is that of
    both. It is :class:`~pitikit.diffusion.guidance.PartsCFG` with two scales in the place of one. With equal scales it
    is :class:`~pitikit.diffusion.guidance.CFG`, which needs two evaluations instead of three.

    Args:
        scale: of the condition; 1 means none, 0 leaves the condition out.
        text_scale: of the text.
        weights: further factors, by 'condition' and 'text'.
        intervals: by 'condition' and 'text', see :class:`~pitikit.diffusion.guidance.PartsCFG`.

    Raises:
        ValueError: a scale is not finite.
    """

    kind = "a model with a text beside its condition (DualEncoder)"

    def __init__(
        self,
        scale: float = 1.5,
        text_scale: float = 1.5,
        weights: Mapping[str, float] | None = None,
        intervals: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(scale, weights, intervals)
        self.text_scale = finite("DualCFG: text_scale", text_scale)

    @property
    def needs_null(self) -> bool:
        """False where both scales are 1."""
        return self.text_scale != 1 or super().needs_null

    def share(self, name: str) -> Share:
        """The scale of the condition goes with ``scale``, that of the text does not."""
        weight = self.weights.get(name, 1.0)
        return Share(weight * self.text_scale, False) if name == "text" else Share(weight)
