"""Templates that all kinds of plugins share: the frame of code, config, test and README, and the metadata for pip."""

CODE = '''"""${words}: a plugin for pitikit, see README.md."""

from __future__ import annotations

# Before the imports, so that another version is named as such where one of them fails.
PITIKIT_API = "${api}"

${imports}

${code}'''

CONFIG = '''"""${summary}

pitikit train ${config}
pitikit test ${config} ${work_dir}/ema.safetensors
"""

_base_ = ["pitikit::configs/scenes/piti_small_mask.py"]
plugins = ["{{ fileDirname }}"]

${body}'''

TEST = '''"""Tests of the plugin ${name}: python -m pytest ${folder}."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from pitikit import Translator
from pitikit.plugins import ${imported}

CONFIG = Path(__file__).parent / "${config_name}"


@pytest.fixture
def cfg():
    """The config of the plugin, with two sampling steps."""
    return load_config(CONFIG, {"model.sampler.steps": 2})


@pytest.fixture
def plugin():
    """The plugin, imported as a config does it."""
    load_config(CONFIG)


def trained_a_step(cfg):
    """The model and its losses after one backward pass over two items."""
    torch.manual_seed(0)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model).train()
    batch = model.data_preprocessor(default_collate([dataset[0], dataset[1]]), True)
    losses = model(mode="loss", **batch)
    losses["loss"].backward()
    return model, losses


def test_a_training_step(cfg):
    model, losses = trained_a_step(cfg)
    gradients = [each.grad for each in model.denoiser.parameters() if each.grad is not None]
    assert torch.isfinite(losses["loss"]) and gradients and all(torch.isfinite(each).all() for each in gradients)


${test}'''

README = """# ${name}

A plugin for pitikit, made by `pitikit new-plugin ${name} --kind ${kind}`: `__init__.py` registers `${component}`,
`${config_name}` trains with it.

${readme}
Look at it, test it, train it:

    pitikit doctor --only plugins --plugins ${folder}
    pitikit list ${component} --plugins ${folder}
    python -m pytest ${folder}
    pitikit check-data ${config} --count 20
    pitikit train ${config}
    pitikit test ${config} ${work_dir}/ema.safetensors --skip-missing    # without the metrics whose weights are absent

A training takes half an hour on one core, a trial a minute: `--cfg-options train_cfg.max_iters=20 stages.0.until=10`.
${package}"""

README_PACKAGE = """
As a package, which every config and tool then finds without `plugins` and `--plugins`:

    pip install ${folder}
"""

#: Lines of a test that are left out where what they bring is not used.
OPTIONAL_IMPORTS = {
    "import numpy as np\n": "np.",
    "from PIL import Image\n": "Image.",
    "from pitikit import Translator\n": "Translator.",
}

#: A function of a test that makes an image.
TRANSLATED = '''def translated(cfg):
    """An image of the untrained model, uint8 (1, 1, 64, 64, 3)."""
    label = np.arange(22, dtype=np.uint8).repeat(3)[:64, None].repeat(64, axis=1)
    return Translator.from_config(cfg, "random", "cpu")(label, seed=0, progress=False)


'''

PROJECT = """[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

# pitikit itself is installed from its clone, and so is not among the dependencies.
[project]
name = "pitikit-${name}"
version = "0.1.0"
description = "${words}: a plugin for pitikit"
requires-python = ">=3.10"

[project.entry-points."pitikit.plugins"]
${name} = "${name}"

[tool.setuptools]
packages = ["${name}"]
package-dir = { ${name} = "." }
"""
