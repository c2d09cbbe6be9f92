"""High-level inference: :class:`~pitikit.apis.translator.Translator`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pitikit.apis.translator import Translator

__all__ = ["Translator"]


def __getattr__(name: str) -> Any:
    # Imported on demand, so that a tool's --help need not wait for torch.
    if name in __all__:
        from pitikit.apis.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
