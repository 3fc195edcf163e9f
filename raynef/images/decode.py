"""One image or label file to pixels, as a viewer would show it, or a reason why not."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from raynef.core.errors import BadImageError, TooManyPixelsError, UserError
from raynef.core.notes import note
from raynef.images import heif
from raynef.io.storage import read_bytes

LabelCodes = tuple[int, ...] | Literal["mask"] | None
"""Class (or IGNORE) of each value of a label file; None where the values are the classes; "mask" of
a picture for ``read_mask``, whose foreground is class 1."""
IMAGE_SUFFIXES = heif.SUFFIXES | {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
}
MOST_PIXELS = (1 << 28) // 3
"""Of an image or label, about 89 million: Pillow's own bound, 256 MiB of RGB."""
MOST_BYTES = 2 * (1 << 28)
"""Of its file: that many pixels in three channels of 16 bits. A larger one is not read."""
_STRIP_PIXELS = 1 << 22  # that are converted at once, so that a large image is held but twice
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""That are decoded, whatever a file's name. Pillow knows more, by the content alone: EPS, which
runs Ghostscript on it, and dozens of decoders that no photograph needs."""
_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that a sensor's values have, in files of 16: the least that hold the largest value count."""
SCALED = (
    "some 16-bit images hold values of 10, 12 or 14 bits; each is scaled by the range of so many "
    "bits, so that it is not black"
)
"""What is noted where there is such an image: see ``raynef.core.notes``."""
_BACKGROUND = (255, 255, 255)  # what a transparent image is laid upon
_MASK_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_TURNS = {  # EXIF orientation -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path) -> np.ndarray:
    """Decode one file to RGB, uint8 [H, W, 3].

    Gray, palette, 1-bit, CMYK, 16-bit and floating-point images become 8-bit RGB, transparency is
    laid on white, EXIF rotation is applied; of an animation the first frame is taken. Gray images
    of 16 bits and RGB PNGs are scaled by the range that they use, of 8, 10, 12, 14 or 16 bits by
    their largest value: a camera's 10 bits would be black in 16.

    Raises:
        BadImageError: a missing, empty, truncated, non-image or over-large file, with the reason.
    """
    return decode_image(read_encoded(path))


def read_encoded(path: str | Path) -> bytes:
    """The bytes of an image's file. Raises BadImageError: missing, unreadable or over-large."""
    try:
        return read_bytes(path, most=MOST_BYTES)
    except OSError as error:
        raise BadImageError(f"cannot be read ({error.strerror or error})") from error


def decode_image(encoded: bytes, *, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Decode the bytes of one file to RGB, uint8 [H, W, 3]; see ``read_image``.

    Raises:
        TooManyPixelsError: more than ``most_pixels``; they are not decoded.
        BadImageError: as ``read_image``.
    """
    with _decoded(encoded, most_pixels=most_pixels) as image:
        pixels = to_rgb(upright(image))
    if not _is_rgb_of_16_bits(encoded) or pixels.max() >= 1 << (_DEPTHS[-2] - 8):
        return pixels
    with _decoded(
        encoded, most_pixels=most_pixels, rawmode="RGB;16L"
    ) as image:  # the other bytes, that Pillow leaves out
        low = to_rgb(upright(image))
    return _to_8_bit(pixels.astype(np.uint16) << 8 | low)


def _is_rgb_of_16_bits(encoded: bytes) -> bool:
    """Whether a PNG's header says so; of such a file Pillow keeps the high bytes."""
    return encoded.startswith(b"\x89PNG") and encoded[24:26] == b"\x10\x02"


@contextlib.contextmanager
def _decoded(
    encoded: bytes, *, most_pixels: int = MOST_PIXELS, rawmode: str | None = None
) -> Iterator[Image.Image]:
    """The image in the bytes of one file, loaded.

    Raises BadImageError, also for what fails within the block. ``rawmode`` is of a PNG, in place of
    the one that Pillow takes the file's values by.
    """
    if not encoded:
        raise BadImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of malformed EXIF and the like; a bomb raises below
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(encoded), formats=_formats(encoded)) as image:
                # Here too, for filters of warnings are not safe among threads.
                if image.width * image.height > most_pixels:
                    raise Image.DecompressionBombError(
                        f"{image.width} x {image.height} pixels, at most {most_pixels} are decoded"
                    )
                if rawmode is not None:
                    tiles = [(*tile[:3], rawmode) for tile in image.tile]
                    image.tile = tiles  # pyright: ignore[reportAttributeAccessIssue]  # tuples do
                image.load()
                yield image
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise BadImageError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"too large ({error})") from error
    except MemoryError as error:
        raise TooManyPixelsError("too large for the memory") from error
    except Exception as error:  # decoders of hostile files raise anything: struct.error, KeyError…
        raise BadImageError(f"damaged ({type(error).__name__}: {error})") from error


def _formats(encoded: bytes) -> tuple[str, ...]:
    """Those in which the bytes of one file may be. Raises BadImageError: HEIC without the extra."""
    if not heif.is_heif(encoded):
        return _FORMATS
    heif.require_decoder()
    return (heif.FORMAT,)


@dataclass(frozen=True)
class Stored:
    """How an image lies in its file.

    Attributes:
        orientation: EXIF's, 1 to 8; 1 is upright.
        size: (H, W) of the stored pixels.
    """

    orientation: int
    size: tuple[int, int]

    @property
    def turns(self) -> bool:
        """Whether it is shown otherwise than it is stored."""
        return self.orientation != 1

    @property
    def sideways(self) -> bool:
        """Whether height and width change places when it is shown."""
        return self.orientation >= 5


def stored_in(encoded: bytes) -> Stored:
    """How the image in the bytes of one file is stored; its pixels stay undecoded where they may.

    Raises BadImageError, as ``read_image``, for what is no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of malformed EXIF; of size, decoding says it
            with Image.open(io.BytesIO(encoded), formats=_formats(encoded)) as image:
                orientation, (width, height) = _orientation(image), image.size
                if image.format == "TIFF" and orientation >= 5:  # Pillow gives its upright size
                    width, height = height, width
                return Stored(orientation, (height, width))
    except BadImageError:
        raise
    except Exception as error:  # as ``_decoded``
        raise BadImageError(f"not an image ({type(error).__name__})") from error


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF asks; as it is where the EXIF cannot be read.

    ``ImageOps.exif_transpose`` also writes the other tags anew and fails on malformed ones, which
    viewers ignore.
    """
    return turned(image, _orientation(image))


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """An image, or what was drawn on its stored pixels, as EXIF's orientation shows it."""
    return image if orientation == 1 else image.transpose(_TURNS[orientation])


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none."""
    orientation = None
    with contextlib.suppress(Exception):  # of any kind, from damaged tags of any kind
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    return orientation if isinstance(orientation, int) and orientation in _TURNS else 1


def to_rgb(image: Image.Image) -> np.ndarray:
    """A decoded PIL image of any mode as RGB, uint8 [H, W, 3]."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_to_8_bit(np.asarray(image))[:, :, None], 3, axis=2)
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    for rows in _strips(height, width):
        whole = rows.stop - rows.start == height
        part = image if whole else image.crop((0, rows.start, width, rows.stop))
        rgb[rows] = np.asarray(_opaque(part))
    return rgb


def _strips(height: int, width: int) -> list[slice]:
    """Rows of an image, a few at a time."""
    step = max(1, _STRIP_PIXELS // max(1, width))
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _opaque(image: Image.Image) -> Image.Image:
    """As RGB, with transparency laid on white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        flat = Image.new("RGBA", image.size, (*_BACKGROUND, 255))
        image = Image.alpha_composite(flat, image)
    return image.convert("RGB")


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Values [H, W] or [H, W, 3] as uint8: integers of at most 16 bits by the range of as many bits
    as they use (``_DEPTHS``), other values stretched from least to most.
    """
    whole = np.issubdtype(values.dtype, np.integer)
    strips = _strips(*values.shape[:2])
    ranges = [(part.min(), part.max()) for part in (_finite(values[rows]) for rows in strips)]
    low, high = min(least for least, _ in ranges), max(most for _, most in ranges)
    depth = next((bits for bits in _DEPTHS if high < 1 << bits), 0) if whole and low >= 0 else 0
    if 8 < depth < 16:
        note(SCALED)
    scaled_to_8 = np.empty(values.shape, np.uint8)
    for rows in strips:
        scaled = _finite(values[rows])
        if not depth:
            scaled = (scaled - low) * (255 / (high - low) if high > low else 0)
        elif depth > 8:
            scaled = scaled / (((1 << depth) - 1) / 255)
        scaled_to_8[rows] = np.rint(scaled)
    return scaled_to_8


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def read_label(path: str | Path, codes: LabelCodes = None) -> np.ndarray:
    """Decode one label file (8-bit gray or palette PNG, or 16-bit) to class indices, int32 [H, W].

    Raises:
        UserError: a missing or unreadable file, one with colors in place of indices, or a value
            that has no code.
    """
    if codes == "mask":
        return read_mask(path).astype(np.int32)
    image = _open_label(path)
    mode, values = image.mode, np.asarray(image)
    if values.ndim != 2 or not (mode in ("1", "L", "P") or mode.startswith("I")):
        raise UserError(
            f"label {path} must hold one class index a pixel (8-bit or palette PNG), "
            f"got an image of mode {mode}"
        )
    values = values.astype(np.int32)
    if codes is None:
        return values
    if values.min(initial=0) < 0 or values.max(initial=0) >= len(codes):
        worst = values.max() if values.max() >= len(codes) else values.min()
        raise UserError(f"label {path} holds {worst}, but its data set knows 0 to {len(codes) - 1}")
    return np.asarray(codes, dtype=np.int32)[values]


def read_mask(path: str | Path) -> np.ndarray:
    """Decode one mask to its foreground, what is lighter than half of white: bool [H, W].

    The gray of a pixel counts, however the file stores it: in 8 bits or in one, by a palette, in
    three equal channels, with or without compression. Transparency is left out.

    Raises:
        UserError: a missing or unreadable file, or one with colors, which is no mask.
    """
    image = _open_label(path)
    if image.mode not in _MASK_MODES:
        raise UserError(f"mask {path} must be 8-bit gray, got an image of mode {image.mode}")
    width, height = image.size
    mask = np.empty((height, width), bool)
    for rows in _strips(height, width):
        channels = np.asarray(image.crop((0, rows.start, width, rows.stop)).convert("RGB"))
        gray = channels[:, :, 0]
        if (channels != gray[:, :, None]).any():
            raise UserError(
                f"mask {path} must be gray, foreground white on black, but it has colors"
            )
        mask[rows] = gray > 127  # the largest value below half of 255
    return mask


def _open_label(path: str | Path) -> Image.Image:
    """A label file, decoded. Raises UserError: missing, unreadable or too large."""
    try:
        with _decoded(read_bytes(path, most=MOST_BYTES)) as image:
            return image
    except FileNotFoundError as error:
        raise UserError(f"label {path} is missing") from error
    except (OSError, BadImageError) as error:
        raise UserError(f"label {path} cannot be read: {error}") from error


def rgb_of(image: Image.Image | np.ndarray | str | Path) -> np.ndarray:
    """A photograph, an array of one, or a path, as RGB: uint8 [H, W, 3], upright.

    Raises ValueError: an array of another type or shape; BadImageError: an unreadable file.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, np.ndarray):
        shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        if image.dtype != np.uint8 or not shaped or 0 in image.shape:
            raise ValueError(
                "an image array must be uint8 [H, W, 3], [H, W, 4] or [H, W], got "
                f"{image.dtype} {list(image.shape)}"
            )
        image = Image.fromarray(image)
    return to_rgb(upright(image))
