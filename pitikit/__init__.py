"""Pretraining priors and adapting them to images as conditions."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pitikit.apis.translator import Translator

__all__ = ["Translator", "__version__"]

#: The one place of the version; setup.cfg reads it here.
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on demand, so that `import pitikit` and a tool's --help need not wait for torch.
    if name == "Translator":
        from pitikit.apis.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
