"""Colors for segments: many, well separated, the same on every machine.

Color ``j`` does not depend on how many colors are asked for, so cluster 7 keeps its color from
one run to the next and from a small K to a large one.
"""

from functools import lru_cache

import numpy as np

MAX_COLORS = 4096
IGNORED = (64, 64, 68)  # dark gray: no class, no label

# Oklab: https://bottosson.github.io/posts/oklab (linear sRGB -> LMS, LMS^(1/3) -> Lab)
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colors: np.ndarray) -> np.ndarray:
    """sRGB bytes ``[..., 3]`` to Oklab float64 ``[..., 3]``, where distance is what the eye sees.

    Lightness is 0 for black and 1 for white; two colors 0.1 apart are told apart at a glance.
    """
    encoded = np.asarray(colors, dtype=np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def palette(num_colors: int) -> np.ndarray:
    """``num_colors`` (2 to 4096) well separated colors, uint8 ``[num_colors, 3]``.

    Farthest-point order: each color is the one farthest from all before it, and never close to
    the one just before it, so that neighbors in index differ strongly.
    """
    if not 2 <= num_colors <= MAX_COLORS:
        raise ValueError(f"parameter num_colors must be 2 to {MAX_COLORS}, got {num_colors}")
    # Rounded up to a power of two so that the cache holds few entries; prefixes are equal anyway.
    return _farthest_first(1 << (num_colors - 1).bit_length())[:num_colors].copy()


@lru_cache(maxsize=16)
def _farthest_first(num_colors: int) -> np.ndarray:
    levels = np.arange(0, 256, 8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lab = oklab(candidates)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    # Mid tones only: visible on a black and on a white page, colored but not fluorescent.
    usable = (lab[:, 0] > 0.47) & (lab[:, 0] < 0.86) & (chroma > 0.045) & (chroma < 0.165)
    # Rounded, so that the last bit of a machine's cube root decides no tie.
    candidates, lab = candidates[usable], lab[usable].round(6)

    chosen = np.empty(num_colors, dtype=np.int64)
    chosen[0] = np.square(lab - oklab(np.array([56, 120, 216]))).sum(1).argmin()  # a calm blue
    nearest = np.full(len(lab), np.inf)
    for j in range(1, num_colors):
        to_last = np.square(lab - lab[chosen[j - 1]]).sum(1)
        np.minimum(nearest, to_last, out=nearest)
        # 0.2 apart from the previous color; a squared distance, as all of them here.
        chosen[j] = np.where(to_last > 0.2**2, nearest, -1.0).argmax()
    return candidates[chosen].astype(np.uint8)


def colorize(labels: np.ndarray, colors: np.ndarray, *, ignore: int | None = None) -> np.ndarray:
    """Paint an index map int [H, W] in ``colors`` uint8 [num_colors, 3]: uint8 [H, W, 3].

    Negative values, and ``ignore`` where given (255 in label files), are painted dark gray.
    """
    return _painted(labels, np.asarray(colors, dtype=np.uint8), np.array(IGNORED, np.uint8), ignore)


def _painted(
    labels: np.ndarray, colors: np.ndarray, ignored: np.ndarray, ignore: int | None
) -> np.ndarray:
    """A row of ``colors`` for each label, and ``ignored`` for hidden ones, of the colors' type."""
    labels = np.asarray(labels)
    hidden = labels < 0 if ignore is None else (labels < 0) | (labels == ignore)
    shown = np.where(hidden, 0, labels) if hidden.any() else labels
    largest = int(shown.max(initial=0))
    if largest >= len(colors):
        raise ValueError(
            f"labels must be below the number of colors ({len(colors)}), got {largest}; "
            "ask palette() for more, or name the value to ignore"
        )
    painted = colors.take(shown, axis=0)
    if shown is not labels:
        painted[hidden] = ignored
    return painted


def hex_color(color: np.ndarray) -> str:
    """A color uint8 [3] as six hexadecimal digits."""
    return bytes(color.tolist()).hex()


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    colors: np.ndarray,
    alpha: float = 0.55,
    *,
    ignore: int | None = None,
) -> np.ndarray:
    """Lay the colors of ``labels`` over ``image`` and draw a thin line between segments.

    All but ``image``, uint8 [H, W, 3], as for :func:`colorize`; ``alpha`` is the weight of the
    colors, 0 (only the image) to 1 (only the colors).
    """
    labels = np.asarray(labels)
    if image.shape != (*labels.shape, 3):
        raise ValueError(f"image must be [H, W, 3] for labels {labels.shape}, got {image.shape}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"parameter alpha must be 0 to 1, got {alpha}")
    # The image fades to gray as the colors gain: its own colors would tint the segments'. Products
    # with 256 levels and few colors are looked up, and sums are made in place: half the time.
    gray = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    mixed = ((1 - alpha) * np.arange(256)).take(image)
    mixed += (alpha * gray)[..., None]
    mixed *= 1 - alpha
    mixed += _painted(labels, alpha * np.asarray(colors), alpha * np.array(IGNORED), ignore)
    edge = boundaries(labels)
    mixed[edge] = 0.2 * mixed[edge] + 0.8 * 255
    return np.rint(mixed, out=mixed).clip(0, 255, out=mixed).astype(np.uint8)


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Where a pixel differs from its right or lower neighbor: bool [H, W], one pixel thin."""
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1, :] |= labels[:-1, :] != labels[1:, :]
    return edge
