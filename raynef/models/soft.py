"""What a segmenter says of an image before its largest output is taken, and how that is drawn."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from raynef.core.errors import UserError
from raynef.models import notebook
from raynef.segment.patch_map import PatchMap
from raynef.segment.probabilities import group_probabilities

_LOW, _HIGH = np.array([250, 250, 252]), np.array([8, 48, 107])  # colors of 0 and 1
_HEIGHT, _TEXT, _GAP = 128, 18, 6  # of a map in a strip, its name below and what is between, pixels
_IN_A_ROW = 4


@dataclass(frozen=True)
class SoftMaps:
    """Maps of one image with values in [0, 1]; a notebook draws the largest.

    Attributes:
        values: float32 [n, h, w].
        names: of the maps: class names or clusters.
    """

    values: np.ndarray
    names: tuple[int | str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: int | str) -> np.ndarray:
        """The map of a name, float32 [h, w]."""
        return self.values[place(name, self.names)]

    def strip(self, count: int = 8) -> np.ndarray:
        """The ``count`` maps with the largest mean, side by side with their names, uint8 [·, ·, 3].

        White is 0, dark blue 1.
        """
        order = np.argsort(-self.values.mean(axis=(1, 2)), kind="stable")[: max(1, count)]
        height, width = self.values.shape[1:]
        size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
        across, down = min(len(order), _IN_A_ROW), -(-len(order) // _IN_A_ROW)
        tile = (size[0] + _GAP, size[1] + _TEXT + _GAP)
        sheet = Image.new("RGB", (across * tile[0] - _GAP, down * tile[1] - _GAP), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
        for spot, index in enumerate(map(int, order)):
            left, top = spot % across * tile[0], spot // across * tile[1]
            value = self.values[index].clip(0, 1)[..., None]
            colored = Image.fromarray((_LOW + value * (_HIGH - _LOW)).round().astype(np.uint8))
            sheet.paste(colored.resize(size, Image.Resampling.NEAREST), (left, top))
            draw.text((left + 2, top + size[1] + 2), str(self.names[index]), "black", font=font)
        return np.asarray(sheet)

    def show(self, count: int = 8) -> None:
        """Show ``strip``: where a notebook runs in its cell, else in the system's viewer."""
        notebook.show(notebook.as_png(self.strip(count)))

    def _repr_png_(self) -> bytes:
        """As a notebook shows it."""
        return notebook.as_png(self.strip())


@dataclass(frozen=True)
class Scores:
    """The outputs of a segmenter for the patches of one image.

    Attributes:
        patches: as they are, on the CPU.
        tau: of the softmax whose outputs are eigenfunctions; None where they are none.
        classes: class of each cluster, K long, -1 for none; None where clusters have no names.
    """

    patches: PatchMap
    tau: float | None
    classes: tuple[int, ...] | None

    def at_patches(self) -> Tensor:
        """The outputs, float32 [K, h, w], where windows overlap their mean."""
        sides = zip(self.patches.windows.image, self.patches.cell, strict=True)
        height, width = (max(1, round(side / cell)) for side, cell in sides)
        rows, columns = self.patches.matrices((height, width))
        return torch.einsum("yh,xw,hwk->kyx", rows, columns, self.patches.logits.float())

    def eigenfunctions(self) -> SoftMaps:
        """ψ, [K, h, w]. Raises UserError: the clusters are not those of eigenfunctions."""
        if self.tau is None:
            raise UserError(
                "this segmenter's clusters are not eigenfunctions; recipe=['folder', 'paper'] "
                "trains some. scores() has the outputs of any segmenter"
            )
        values = (self.at_patches() / self.tau).softmax(dim=0).numpy()
        return SoftMaps(values, tuple(range(len(values))))

    def probabilities(
        self, segments: list[int], size: tuple[int, int], temperature: float | None
    ) -> np.ndarray:
        """Of n classes, or of clusters where they have no names, float32 [n, *size]."""
        rows, columns = self.patches.matrices(size)
        own = range(self.patches.logits.shape[-1]) if self.classes is None else self.classes
        number = {segment: index for index, segment in enumerate(segments)}
        groups = torch.tensor([number.get(segment, -1) for segment in own])
        return group_probabilities(
            self.patches.logits,
            rows,
            columns,
            groups,
            num_groups=len(segments),
            temperature=temperature or self.tau or 1.0,
        ).numpy()


def place(name: int | str, names: tuple[int | str, ...]) -> int:
    """Of a name among others. Raises UserError: it is not there."""
    if name not in names:
        known = ", ".join(map(repr, names[:20])) + (" …" if len(names) > 20 else "")
        raise UserError(f"there is no segment {name!r}; there are {known}")
    return names.index(name)
