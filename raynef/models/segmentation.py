"""The segments of one image, as a person or a notebook looks at them."""

import io
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from raynef.report.palette import overlay, palette


@dataclass(frozen=True)
class Segmentation:
    """The segments of one image.

    Attributes:
        clusters: cluster of each pixel at the image's own size, uint16 [H, W].
        classes: class of each pixel, int16 [H, W], -1 where the cluster has none; None where no
            mapping was fitted.
        class_names: of ``classes``; None likewise.
        image: what was segmented, uint8 [H, W, 3]; None where only the maps were kept.
    """

    clusters: np.ndarray
    classes: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    image: np.ndarray | None = None

    def masks(self) -> dict[int | str, np.ndarray]:
        """The pixels of each segment that occurs, bool [H, W]: by class name, else by cluster."""
        return {name: self._map() == index for index, name in self._names().items()}

    def shares(self) -> dict[int | str, float]:
        """Share of the image that each of these covers, the largest first; pixels of a cluster
        without a class count in none."""
        found, size = self._map(), self.clusters.size
        shares = {name: float((found == i).sum() / size) for i, name in self._names().items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def overlay(self) -> np.ndarray:
        """The image with its clusters in color, uint8 [H, W, 3]; the colors alone without one."""
        colors = palette(max(2, int(self.clusters.max(initial=0)) + 1))
        if self.image is None:
            return colors[self.clusters]
        return overlay(self.image, self.clusters, colors)

    def show(self) -> None:
        """Show the overlay: where a notebook runs it in its cell, else in the system's viewer."""
        if "IPython" in sys.modules:
            from IPython.core.getipython import get_ipython  # pyright: ignore

            if get_ipython() is not None:
                from IPython.display import display  # pyright: ignore

                display(self)
                return
        Image.fromarray(self.overlay()).show()

    def _repr_png_(self) -> bytes:
        """As a notebook shows it."""
        buffer = io.BytesIO()
        Image.fromarray(self.overlay()).save(buffer, format="PNG")
        return buffer.getvalue()

    def _map(self) -> np.ndarray:
        return self.clusters if self.classes is None else self.classes

    def _names(self) -> dict[int, int | str]:
        """Of the segments that occur, by their number in the map."""
        there = [index for index in np.unique(self._map()).tolist() if index >= 0]
        named = self.class_names
        return {index: index if named is None else named[index] for index in there}
