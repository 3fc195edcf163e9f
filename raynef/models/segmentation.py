"""The segments of one image, as a person or a notebook looks at them."""

from dataclasses import dataclass, field

import numpy as np

from raynef.core.errors import UserError
from raynef.models import notebook
from raynef.models.soft import Scores, SoftMaps, place
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
        outputs: of the segmenter for each patch, of which ``soft``, ``eigenfunctions`` and
            ``scores`` are made; 4·K bytes a patch. None where only the maps were kept.
    """

    clusters: np.ndarray
    classes: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    image: np.ndarray | None = None
    outputs: Scores | None = field(default=None, repr=False)

    def masks(self) -> dict[int | str, np.ndarray]:
        """The pixels of each segment that occurs, bool [H, W]: by class name, else by cluster."""
        return {name: self._map() == index for index, name in self._names().items()}

    def shares(self) -> dict[int | str, float]:
        """Share of the image that each of these covers, the largest first; pixels of a cluster
        without a class count in none."""
        found, size = self._map(), self.clusters.size
        shares = {name: float((found == i).sum() / size) for i, name in self._names().items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def soft(
        self,
        *segments: int | str,
        size: tuple[int, int] | None = None,
        temperature: float | None = None,
    ) -> SoftMaps:
        """How probable a segment is at each pixel: the softmax of the segmenter's outputs.

        ``soft("grass")["grass"]`` is float32 [H, W] in [0, 1]. That of a class is the sum over its
        clusters.

        Args:
            segments: class names, or clusters where they have no names, as of ``masks``; those that
                occur in the image if none is given.
            size: (H, W) of the maps, each of 4·H·W bytes; the image's own if None.
            temperature: of the softmax, larger is softer. By default that of ψ's training, or 1
                where the clusters are those of K-means, which is nearly 0 or 1 everywhere.

        Raises:
            UserError: no such segment, or nothing but the maps was kept.
        """
        scores, known = self._outputs(), self._all_names(self._outputs())
        names = segments or tuple(self.shares())
        chosen = [place(name, known) for name in names]
        shape = (self.clusters.shape[0], self.clusters.shape[1])
        return SoftMaps(scores.probabilities(chosen, size or shape, temperature), tuple(names))

    @property
    def eigenfunctions(self) -> SoftMaps:
        """ψ of each patch, float32 [K, h, w]: the assignment softmax(outputs / τ) of which
        ``clusters`` are the largest.

        Raises:
            UserError: the segmenter's clusters are not those of eigenfunctions (K-means, learned
                clusterings, a probe), or nothing but the maps was kept.
        """
        return self._outputs().eigenfunctions()

    def scores(self) -> np.ndarray:
        """The outputs for each patch, of which the largest is its cluster, float32 [K, h, w]: of
        eigenfunctions logits, of K-means 2c·h − ‖c‖² with the centers c. Raises UserError: nothing
        but the maps was kept."""
        return self._outputs().at_patches().numpy()

    def overlay(self) -> np.ndarray:
        """The image with its clusters in color, uint8 [H, W, 3]; the colors alone without one."""
        colors = palette(max(2, int(self.clusters.max(initial=0)) + 1))
        if self.image is None:
            return colors[self.clusters]
        return overlay(self.image, self.clusters, colors)

    def show(self) -> None:
        """Show the overlay: where a notebook runs in its cell, else in the system's viewer."""
        notebook.show(self._repr_png_())

    def _repr_png_(self) -> bytes:
        """As a notebook shows it."""
        return notebook.as_png(self.overlay())

    def _map(self) -> np.ndarray:
        return self.clusters if self.classes is None else self.classes

    def _names(self) -> dict[int, int | str]:
        """Of the segments that occur, by their number in the map."""
        there = [index for index in np.unique(self._map()).tolist() if index >= 0]
        named = self.class_names
        return {index: index if named is None else named[index] for index in there}

    def _all_names(self, scores: Scores) -> tuple[int | str, ...]:
        """Of all segments, by their number, whether they occur or not."""
        return self.class_names or tuple(range(scores.patches.logits.shape[-1]))

    def _outputs(self) -> Scores:
        if self.outputs is None:
            raise UserError("the segmenter's outputs were not kept with these maps")
        return self.outputs
