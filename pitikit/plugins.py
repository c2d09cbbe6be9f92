"""The public API: all that a plugin imports of pitikit.

A plugin names the version that it was written for, ``PITIKIT_API = "1.0"`` in its ``__init__.py``. Within a first
number nothing is taken away; the second one counts additions. Inner modules may change at any time.
"""

from pitikit.config import load_config
from pitikit.data.condition_loader import ConditionLoader
from pitikit.data.conditions import ConditionPart, DepthCode
from pitikit.data.dataset import PairedImageDataset, build_pipeline
from pitikit.data.errors import DataError
from pitikit.data.extraction import Extractor, build_extractor
from pitikit.data.listing import FileTree, Passed
from pitikit.data.loading import LoadMask
from pitikit.data.loading_geometry import LoadDepth, LoadNormals
from pitikit.data.loading_sketch import LoadSketch
from pitikit.data.members import add_part, fetch, fetch_image
from pitikit.data.preparation.base import Found, Item, Pairing, Preparation, Problem, Sample
from pitikit.data.reading import read_depth, read_grey, read_ids, read_image, read_normals
from pitikit.degradations.operation import Operation, checked_range, draw
from pitikit.diffusion.guidance import Around, Guidance, GuidanceInputs, NeedsInputs, Scaled, build_guidance
from pitikit.diffusion.samplers import NoiseLevel, Sampler, SamplingRequest, SamplingState
from pitikit.diffusion.types import Conditioning, Denoise, Prediction, Target, joined
from pitikit.evaluation.image_metric import ImageMetric, image_pair, to_bytes
from pitikit.losses.denoising import Loss
from pitikit.losses.perceptual import ClampedImageLoss, GatedImageLoss
from pitikit.models.denoiser import Denoiser
from pitikit.networks.decoders import Decoder, GlideUNet
from pitikit.networks.encoders import Encoder, SemanticEncoder
from pitikit.networks.spatial import SpatialEncoder
from pitikit.networks.unet import timestep_embedding
from pitikit.registry import (
    DATASETS,
    DECODERS,
    DEGRADATIONS,
    DISCRIMINATORS,
    ENCODERS,
    EXTRACTORS,
    GUIDANCES,
    HOOKS,
    LOSSES,
    METRICS,
    MODELS,
    PREPARATIONS,
    SAMPLERS,
    SCHEDULES,
    TIMESTEP_SAMPLERS,
    TOKENIZERS,
    TRANSFORMS,
)
from pitikit.registry import PLUGIN_API as API_VERSION
from pitikit.scenes import CLASSES as SCENE_CLASSES
from pitikit.scenes import SceneWorld
from pitikit.weights import WeightsError, read_header, read_weights, save_on_prior, save_weights

Metric = ImageMetric

__all__ = [
    "API_VERSION",
    "DATASETS",
    "DECODERS",
    "DEGRADATIONS",
    "DISCRIMINATORS",
    "ENCODERS",
    "EXTRACTORS",
    "GUIDANCES",
    "HOOKS",
    "LOSSES",
    "METRICS",
    "MODELS",
    "PREPARATIONS",
    "SAMPLERS",
    "SCENE_CLASSES",
    "SCHEDULES",
    "TIMESTEP_SAMPLERS",
    "TOKENIZERS",
    "TRANSFORMS",
    "Around",
    "ClampedImageLoss",
    "ConditionLoader",
    "ConditionPart",
    "Conditioning",
    "DataError",
    "Decoder",
    "Denoise",
    "Denoiser",
    "DepthCode",
    "Encoder",
    "Extractor",
    "FileTree",
    "Found",
    "GatedImageLoss",
    "GlideUNet",
    "Guidance",
    "GuidanceInputs",
    "ImageMetric",
    "Item",
    "LoadDepth",
    "LoadMask",
    "LoadNormals",
    "LoadSketch",
    "Loss",
    "Metric",
    "NeedsInputs",
    "NoiseLevel",
    "Operation",
    "PairedImageDataset",
    "Pairing",
    "Passed",
    "Prediction",
    "Preparation",
    "Problem",
    "Sample",
    "Sampler",
    "SamplingRequest",
    "SamplingState",
    "Scaled",
    "SceneWorld",
    "SemanticEncoder",
    "SpatialEncoder",
    "Target",
    "WeightsError",
    "add_part",
    "build_extractor",
    "build_guidance",
    "build_pipeline",
    "checked_range",
    "draw",
    "fetch",
    "fetch_image",
    "image_pair",
    "joined",
    "load_config",
    "read_depth",
    "read_grey",
    "read_header",
    "read_ids",
    "read_image",
    "read_normals",
    "read_weights",
    "save_on_prior",
    "save_weights",
    "timestep_embedding",
    "to_bytes",
]
