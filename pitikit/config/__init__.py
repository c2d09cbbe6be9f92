"""Configs: reading a file with its plugins, ``--cfg-options``, and the check of both against the components.

A config names components by ``type``, and the signature of a component names the registry of each of its parts. The
check of a config, the options of a command line and the hints for a misspelt name all follow these
annotations, those of a plugin's components as well as ours::

    @MODELS.register_module()
    class Painter(BaseModel):
        def __init__(
            self,
            brush: Annotated[Any, BRUSHES],                    # dict(type=...) of the registry BRUSHES, or an object
            sampler: Annotated[Any, SAMPLERS] = None,
            losses: Sequence[Annotated[Any, LOSSES]] = (),     # several, in a list
            tools: Mapping[str, Annotated[Any, TOOLS]] = ...,  # several, by name
            denoiser: Annotated[Any, MODELS, Denoiser] = None, # without a type it is a Denoiser
            stages: Sequence[Annotated[dict, Stage]] = (),     # never has a type: the arguments of Stage
            timesteps: Annotated[str | dict, TIMESTEP_SAMPLERS] = "uniform",  # the name alone will do
        ) -> None: ...

Everything else in a signature is checked against its plain annotation (``scale: float``). An argument
without an annotation takes anything; a dict with a ``type`` in it is searched in all registries. The keys at the top of
a file, which are no component's arguments, are declared in the same way in :mod:`pitikit.config.schema`.
"""

from pitikit.config.channels import with_input_channels
from pitikit.config.check import check_config
from pitikit.config.files import as_list, find_plugin
from pitikit.config.loading import load_config
from pitikit.config.options import (
    add_config_arguments,
    add_options_argument,
    apply_options,
    parse_value,
    read_option,
    refuse_second_values,
    warn_of_idle_options,
)
from pitikit.config.readers import ConfigError

__all__ = [
    "ConfigError",
    "add_config_arguments",
    "add_options_argument",
    "apply_options",
    "as_list",
    "check_config",
    "find_plugin",
    "load_config",
    "parse_value",
    "read_option",
    "refuse_second_values",
    "warn_of_idle_options",
    "with_input_channels",
]
