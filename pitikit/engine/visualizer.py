"""mmengine's visualizer without the drawing that a training does not do."""

from __future__ import annotations

import logging
from typing import Any

import mmengine.visualization
import numpy as np
from mmengine.dist import master_only
from mmengine.logging import print_log

from pitikit.registry import VISUALIZERS


class _NoFigure:
    """Stands in until something is drawn."""

    def get_dpi(self) -> float:
        return 0.0


@VISUALIZERS.register_module()
class Visualizer(mmengine.visualization.Visualizer):
    """Takes the place of mmengine's: the figure is made when an image is set, and Matplotlib imported then.

    Every Runner has a visualizer, which its vis_backends belong to; most never draw. A second at the start of each
    process, and 30 MB.
    """

    ax_save: Any = None
    _warned = False

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None) -> None:
        """Hand numbers to the backends; a disk without room is warned of once, as by the RunLogHook."""
        try:
            super().add_scalars(scalar_dict, step, file_path)
        except OSError as error:
            if not self._warned:
                print_log(f"numbers for the backends cannot be written: {error}", "current", logging.WARNING)
            self._warned = True

    def _initialize_fig(self, fig_cfg: Any) -> tuple[Any, Any, Any]:
        return None, _NoFigure(), None

    @master_only
    def set_image(self, image: np.ndarray) -> None:
        """Set the image to draw on: RGB uint8 (H, W, 3)."""
        if self.ax_save is None:
            self.fig_save_canvas, self.fig_save, self.ax_save = super()._initialize_fig(self.fig_save_cfg)
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)
