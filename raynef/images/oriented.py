"""Labels and boxes of images that EXIF turns.

Images are shown upright; who labeled them may have drawn on their pixels as they are stored.
``data.label_orientation`` says which. "auto" decides by the size of a label, or of an annotation,
which fits only one of the two where the image lies on its side. One that fits both (an image that
is mirrored, upside down or square) is refused by name: nothing in it tells.
"""

import contextlib

import numpy as np
from PIL import Image

from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.imageset import ImageFile, LabelCodes
from raynef.images.decode import Stored, read_encoded, read_label, stored_in, turned

_MIRRORS_X, _MIRRORS_Y = (2, 3, 6, 7), (3, 4, 7, 8)


class AmbiguousLabelError(UserError):
    """A label or annotation that fits its image both as stored and as shown."""


def read_truth(file: ImageFile, codes: LabelCodes, *, stored: Stored | None = None) -> np.ndarray:
    """The label of an image as the image is shown, int32 [H, W]; see ``read_label`` for ``codes``.

    ``stored`` says how the image is stored; if None, its file does. Raises UserError as
    ``read_label``, and AmbiguousLabelError.
    """
    label = read_label(file.label or "", codes)
    stored = stored or stored_as(file)
    size = (label.shape[0], label.shape[1])
    if not drawn_as_stored(file, size, stored, what="label"):
        return label
    return np.asarray(turned(Image.fromarray(label), stored.orientation))


def turn_boxes(
    file: ImageFile, boxes: np.ndarray, size: tuple[int, int] | None, *, stored: Stored | None
) -> np.ndarray:
    """Boxes of an image as the image is shown, float64 [m, 4].

    ``size`` is (H, W) of what they were drawn on, where the annotation says it; ``stored`` as of
    ``read_truth``. Raises AmbiguousLabelError where nothing tells on which pixels they were drawn.
    """
    if not len(boxes):
        return boxes
    stored = stored or stored_as(file)
    if not drawn_as_stored(file, size, stored, what="annotation"):
        return boxes
    x, y = boxes[:, [0, 2]], boxes[:, [1, 3]]
    if stored.sideways:
        x, y = y, x
    height, width = upright_size(stored)
    if stored.orientation in _MIRRORS_X:
        x = width - x[:, ::-1]
    if stored.orientation in _MIRRORS_Y:
        y = height - y[:, ::-1]
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def drawn_as_stored(
    file: ImageFile, size: tuple[int, int] | None, stored: Stored, *, what: str
) -> bool:
    """Whether what was drawn for an image lies on its stored pixels, and must turn with them.

    One of neither size stays as it is; whoever compares it with the image names both sizes.

    Raises AmbiguousLabelError by "auto", where ``size`` = (H, W) fits both, or is None.
    """
    rule = file.label_orientation
    if not stored.turns or rule == "upright":
        return False
    if rule == "stored":
        return True
    fits_stored = size in (None, stored.size)
    fits_upright = size in (None, upright_size(stored))
    if fits_stored and fits_upright:
        raise AmbiguousLabelError(
            f"the {what} of {file.name} may be drawn on the image as stored or as shown: its EXIF "
            f"orientation is {stored.orientation}, and its size does not tell. Set "
            "data.label_orientation to stored (it is turned with the image) or to upright (it is "
            "drawn on the image as shown)"
        )
    return fits_stored


def upright_size(stored: Stored) -> tuple[int, int]:
    """(H, W) of an image as it is shown."""
    height, width = stored.size
    return (width, height) if stored.sideways else (height, width)


def stored_as(file: ImageFile) -> Stored:
    """How an image is stored. One that cannot be read is never shown, and does not turn."""
    if file.label_orientation != "upright":  # whatever it is, nothing turns
        with contextlib.suppress(BadImageError):
            return stored_in(read_encoded(file.path))
    return Stored(1, (0, 0))
