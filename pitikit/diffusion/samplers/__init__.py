"""Samplers: ways from noise to images. Importing the package registers them."""

from pitikit.diffusion.samplers.ddpm_ddim import DDIMSampler, DDPMSampler
from pitikit.diffusion.samplers.foreign import DiffusersSampler
from pitikit.diffusion.samplers.loop import (
    PROGRESS_FROM_STEPS,
    Noise,
    NoiseLevel,
    Sampler,
    SamplingRequest,
    SamplingState,
    StepCallback,
    ZeroNoise,
    build_sampler,
    steps_of,
)
from pitikit.diffusion.samplers.solvers import DPMSolverSampler, HeunSampler, UniPCSampler

__all__ = [
    "PROGRESS_FROM_STEPS",
    "DDIMSampler",
    "DDPMSampler",
    "DPMSolverSampler",
    "DiffusersSampler",
    "HeunSampler",
    "Noise",
    "NoiseLevel",
    "Sampler",
    "SamplingRequest",
    "SamplingState",
    "StepCallback",
    "UniPCSampler",
    "ZeroNoise",
    "build_sampler",
    "steps_of",
]
