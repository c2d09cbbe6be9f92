"""Guidance: ways to turn a denoiser into a guided one. Importing the package registers them.

``scale`` is s of eps = eps(null) + s (eps(cond) - eps(null)); 1 means no guidance. The PITI paper writes
w = s - 1. The variance is always that of the conditional prediction.
"""

from pitikit.diffusion.guidance.base import (
    Around,
    Guidance,
    GuidanceInputs,
    NeedsInputs,
    Scaled,
    amount,
    build_guidance,
    has_scale,
    innermost,
    needs_of,
    with_inputs,
    with_scale,
)
from pitikit.diffusion.guidance.dual import DualCFG
from pitikit.diffusion.guidance.free import (
    APG,
    CFG,
    CFGPlusPlus,
    CFGZeroStar,
    NormalizedCFG,
    RescaledCFG,
    renoises_null,
)
from pitikit.diffusion.guidance.levels import Interval, ScaleSchedule
from pitikit.diffusion.guidance.networks import Autoguidance, ClassifierGuidance, ConsistencyGuidance
from pitikit.diffusion.guidance.parts import PartsCFG, check_parts, with_parts
from pitikit.diffusion.guidance.threshold import DynamicThreshold

__all__ = [
    "APG",
    "CFG",
    "Around",
    "Autoguidance",
    "CFGPlusPlus",
    "CFGZeroStar",
    "ClassifierGuidance",
    "ConsistencyGuidance",
    "DualCFG",
    "DynamicThreshold",
    "Guidance",
    "GuidanceInputs",
    "Interval",
    "NeedsInputs",
    "NormalizedCFG",
    "PartsCFG",
    "RescaledCFG",
    "ScaleSchedule",
    "Scaled",
    "amount",
    "build_guidance",
    "check_parts",
    "has_scale",
    "innermost",
    "needs_of",
    "renoises_null",
    "with_inputs",
    "with_parts",
    "with_scale",
]
