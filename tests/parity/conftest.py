"""Numbers of the released code, and how ours are compared with them.

The whole set lies in the shared folder (see the fixture ``shared``); a part of it is stored in
``tests/data/parity``, made by ``python tests/parity/conftest.py ../shared/fixtures``. A test runs
on the stored part, and on the whole set where it is marked ``slow``:

    pytest tests/parity -m "slow or not slow" -s     a line per case with the largest differences
"""

import json
import sys
import zlib
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from pitikit.diffusion.noise import NoiseSource
from pitikit.models.denoiser import Denoiser
from pitikit.networks.decoders import GlideUNet
from pitikit.networks.encoders import SemanticEncoder

STORED = Path(__file__).parents[1] / "data" / "parity"

# The released numbers take every a-th row and b-th column of some tensors: file, name, (a, b).
STEPS = [
    ("forward_sr_full_256_coco", "out_*", (8, 8)),
    ("forward_sr_full_256_coco", "out", (4, 4)),
    ("forward_sr_full_256_coco", "xf_out", (8, 8)),
    ("forward_sr_small_128", "out_*", (4, 4)),
    ("forward_sr_small_128", "out", (2, 2)),
    ("forward_sr_small_128", "xf_out", (8, 8)),
    ("forward_*", "out_*", (2, 2)),
    ("forward_*", "xf_out", (1, 4)),
    ("sampling_*", "x_mid?", (2, 2)),
    ("train_steps_*", "final_transformer_proj_weight_sub", (16, 16)),
    ("vgg_loss", "grad_sr", (2, 2)),
    ("vgg_loss", "features_hr_sub", (2, 2)),
    ("discriminators", "x_sub", (8, 8)),
]

# What is stored, and how much thinner still: file, name, (a, b).
KEPT = [
    ("forward_base_small_coco", "out", (2, 2)),
    ("forward_base_small_coco", "xf_out", (8, 2)),
    ("forward_base_small_coco", "xf_proj*", (1, 1)),
    ("forward_*_small_*", "out", (4, 4)),
    ("forward_*_small_*", "xf_proj", (1, 1)),
    ("forward_*_small_*", "out_null", (2, 2)),
    ("forward_base_small_coco", "out_4000", (2, 2)),
    ("forward_*_small_*", "t*", (1, 1)),
    ("sampling_*10_cfg1.3", "final", (2, 2)),
    ("sampling_ddim10_*", "final", (2, 2)),
    ("sampling_sr64_fast27", "final", (2, 2)),
    ("sampling_*10_cfg1.3", "x_mid0", (1, 1)),
    ("sampling_ddim10_*", "x_mid0", (1, 1)),
    ("sampling_sr64_fast27", "x_mid0", (1, 1)),
    ("diffusion_ops", "*/t", (1, 1)),
    ("diffusion_ops", "*/alt_fixed_*/pmv_log_variance", (1, 1)),
    ("diffusion_ops", "*/alt_*", None),
    ("diffusion_ops", "*/*", (2, 2)),
    ("diffusion_ops", "kl_in?", (1, 1)),
    ("diffusion_ops", "normal_kl", (1, 1)),
    ("diffusion_ops", "disc_ll", (1, 1)),
    ("diffusion_schedule_*", "raw_betas", (1, 1)),
    ("diffusion_schedule_*", "raw_alphas_cumprod", (1, 1)),
    ("diffusion_schedule_*", "raw_posterior_*", (1, 1)),
    ("diffusion_schedule_*", "[[]*", (1, 1)),
    ("train_steps_*", "final_enc_conv1_weight", (2, 2)),
    ("train_steps_*", "*", (1, 1)),
    ("second_moment_resampler", "*", (1, 1)),
    ("timestep_embedding", "*", (1, 1)),
    ("vgg_loss", "loss", (1, 1)),
    ("vgg_loss", "grad_sr", (2, 2)),
    ("vgg_loss", "features_hr_sub", (4, 4)),
    ("discriminators", "nlayer_*", (1, 1)),
    ("discriminators", "discriminator_*", (1, 1)),
    ("wgan_gp", "fake", None),
    ("wgan_gp", "real", None),
    ("wgan_gp", "grad_fake", (4, 4)),
    ("wgan_gp", "*", (1, 1)),
    ("upsampler_total_loss", "x_start", None),
    ("upsampler_total_loss", "noise", None),
    ("upsampler_total_loss", "*", (1, 1)),
    ("sampling_two_stage", "base_final", (2, 2)),
    ("sampling_two_stage", "low_res", (1, 1)),
    ("sampling_two_stage", "guidance", (1, 1)),
    ("sampling_two_stage", "sr_final", (4, 4)),
]


def steps_of(table, file, name):
    """The steps of the first row of ``table`` that names this array, (1, 1) or None without one."""
    default = (1, 1) if table is STEPS else None
    return next((s for f, n, s in table if fnmatchcase(file, f) and fnmatchcase(name, n)), default)


def thinned(array, steps):
    """Every a-th row and b-th column; vectors stay whole."""
    return array[..., :: steps[0], :: steps[1]] if array.ndim > 1 else array


class Reference(dict):
    """Name to (released numbers, the steps that they take through the last two axes)."""

    def value(self, name):
        """Numbers that are not thinned."""
        array, steps = self[name]
        assert steps == (1, 1) or array.ndim < 2
        return array


def read_whole(folder, file):
    with np.load(folder / f"{file}.npz") as arrays:
        return Reference({n: (arrays[n], steps_of(STEPS, file, n)) for n in arrays.files})


def read_stored(file):
    with np.load(STORED / f"{file}.npz") as arrays:
        parts = [(key.rpartition("@"), arrays[key]) for key in arrays.files]
    return Reference({name: (array, tuple(map(int, steps.split("x")))) for (name, _, steps), array in parts})


def store(folder):
    """Write the stored part from the whole set."""
    STORED.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.npz")):
        kept = {}
        for name, (array, steps) in read_whole(folder, path.stem).items():
            more = steps_of(KEPT, path.stem, name)
            if more is not None:
                key = f"{name}@{steps[0] * more[0]}x{steps[1] * more[1]}"
                kept[key] = thinned(array, more)
        if kept:
            np.savez_compressed(STORED / path.name, **kept)
    for name in ("weights_rule_check.json", "spaced_timesteps.json"):
        data = json.loads((folder / name).read_text())
        (STORED / name).write_text(json.dumps(data, separators=(",", ":")) + "\n")


@pytest.fixture(params=["stored", pytest.param("whole", marks=pytest.mark.slow)])
def reference(request):
    """``reference(file)``: the released numbers of a file, the stored part or all."""
    if request.param == "stored":
        return read_stored
    folder = request.getfixturevalue("shared") / "fixtures"
    return lambda file: read_whole(folder, file)


@pytest.fixture
def whole(shared):
    """``whole(file)``: all the released numbers of a file."""
    return lambda file: read_whole(shared / "fixtures", file)


class Comparison:
    """Compares arrays and remembers the largest difference of each."""

    def __init__(self):
        self.largest = {}

    def close(self, what, ours, expected, atol=0.0, rtol=0.0, mean=None):
        """Assert |ours - expected| <= atol + rtol |expected|, and of its mean where asked.

        ``expected`` is an array or one of a :class:`Reference`, whose part of ``ours`` is taken.
        """
        __tracebackhide__ = True
        array, steps = expected if isinstance(expected, tuple) else (np.asarray(expected), (1, 1))
        ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else np.asarray(ours)
        ours = thinned(ours, steps)
        assert ours.shape == array.shape, (what, ours.shape, array.shape)
        difference = np.abs(ours.astype(np.float64) - array)
        largest = difference.max(initial=0.0)
        note = f"{largest:.1e}"
        if rtol and not atol:
            scale = np.abs(array).max(initial=0.0)
            relative = (difference / np.maximum(np.abs(array), 1e-12 * scale + 1e-300)).max()
            note = f"{relative:.1e} relative"
        if mean is not None:
            note += f" (mean {difference.mean():.1e})"
        self.largest[what] = (largest, note)
        if not (difference <= atol + rtol * np.abs(array)).all():
            pytest.fail(f"{what}: {note}, allowed {atol} + {rtol} relative")
        if mean is not None and not difference.mean() <= mean:
            pytest.fail(f"{what}: {note}, allowed {mean} in the mean")


@pytest.fixture
def compare(request, record_property):
    """A :class:`Comparison` whose figures are printed and put into the report."""
    comparison = Comparison()
    yield comparison
    name = request.node.name.removeprefix("test_")
    text = ", ".join(f"{what} {note}" for what, (_, note) in comparison.largest.items())
    record_property("largest_differences", text)
    print(f"\nparity {name}: {text}")


def apply_weights_rule(module, prefix=""):
    """Fill a module by the rule of the released numbers: each tensor is seeded by its name."""
    for name, tensor in module.state_dict().items():
        generator = torch.Generator().manual_seed(zlib.crc32((prefix + name).encode()))
        values = torch.randn(tensor.shape, generator=generator, dtype=torch.float32) * 0.05
        if tensor.ndim == 1 and name.endswith("weight"):
            values = 1 + values * 0.2
        tensor.copy_(values)
    return module


@lru_cache(maxsize=2)
def ruled_encoder(channels):
    return apply_weights_rule(SemanticEncoder(channels), "encoder.").eval().requires_grad_(False)


def ruled_model(condition_channels, **decoder):
    """A model with weights by the rule, in eval mode; encoders are shared between models."""
    model = Denoiser(ruled_encoder(condition_channels), GlideUNet(**decoder))
    apply_weights_rule(model.decoder, "decoder.")
    return model.eval().requires_grad_(False)


SMALL = dict(channels=64, multipliers=(1, 1, 1, 2), res_blocks=1, dropout=0.0)
CONFIGURATIONS = {
    "base_small_coco": dict(SMALL),
    "base_small_edge": dict(SMALL, condition_channels=1),
    "base_small_depthnormal": dict(SMALL, condition_channels=6),
    "sr_small_64_from_16": dict(SMALL, low_res=True),
    "sr_small_128": dict(SMALL, image_size=128, multipliers=(1, 1, 1, 1, 2), low_res=True),
    "base_full_coco": dict(),
    "sr_full_256_coco": dict(image_size=256, multipliers=(1, 1, 2, 2, 4, 4), res_blocks=2, low_res=True),
}


@pytest.fixture(scope="session")
def model():
    """``model(name)``: a network of :data:`CONFIGURATIONS`, built once where it is small."""

    def build(name):
        arguments = dict(CONFIGURATIONS[name])
        return ruled_model(arguments.pop("condition_channels", 3), **arguments)

    small = cache(build)
    return lambda name: build(name) if "full" in name else small(name)


@pytest.fixture(scope="session")
def draw_inputs():
    """``draw_inputs(seed, batch, channels, side, low)``: x, condition, low_res, in that order."""

    def draw(seed, batch, channels=3, side=64, low=None):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, 3, side, side, generator=generator)
        condition = torch.rand(batch, channels, 256, 256, generator=generator) * 2 - 1
        if low is None:
            return x, condition, None
        return x, condition, torch.rand(batch, 3, low, low, generator=generator) * 2 - 1

    return draw


class ReplayedNoise(NoiseSource):
    """The draws of the released code: one generator for the batch, doubled where it is guided."""

    def __init__(self, seed, batch, doubled, dtype=torch.float32):
        super().__init__([0] * batch)
        self.dtype = dtype
        self.generator = torch.Generator().manual_seed(seed)
        self.doubled = doubled
        self.draws = 0

    def randn(self, shape):
        batch = len(self)
        rows = 2 * batch if self.doubled and self.draws else batch
        self.draws += 1
        return torch.randn(rows, *shape, generator=self.generator)[:batch].to(self.dtype)


@pytest.fixture(scope="session")
def replayed_noise():
    return ReplayedNoise


@pytest.fixture(scope="session")
def stored_json():
    return lambda name: json.loads((STORED / name).read_text())


@pytest.fixture(scope="session")
def weights_rule():
    return apply_weights_rule


if __name__ == "__main__":
    store(Path(sys.argv[1]))
