"""Label maps as files: PNGs whose values are the labels, in the colors of the overlays.

A palette PNG shows colors in any viewer, and ``np.asarray(Image.open(path))`` are the labels.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raynef.io.files import write_atomic
from raynef.models.folder import Mapping
from raynef.report.palette import IGNORED, palette

UNLABELED = 255
"""Value of a pixel without a class, in label files."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TO_THE_LEFT = 1  # PNG's filter "Sub"


def encode_labels(
    labels: np.ndarray, *, wide: bool | None = None, unlabeled: int | None = None
) -> bytes:
    """Labels as a PNG: by a palette in 8 bits, or as gray values in 16.

    Args:
        labels: int [H, W], 0 to 65535.
        wide: 16 bits, so that all files of many labels are alike; None where a label needs them.
        unlabeled: a label that is no segment, shown in dark gray.
    """
    if wide if wide is not None else labels.max(initial=0) > 255:
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = Image.fromarray(labels.astype(np.uint8))
        colors = palette(256)
        if unlabeled is not None:
            colors[unlabeled] = IGNORED
        # All 256: of fewer colors Pillow packs values into fewer bits, and cuts larger ones.
        image.putpalette(colors.tobytes())
    return _encoded(image)


def write_labels(
    path: Path, labels: np.ndarray, *, wide: bool | None = None, unlabeled: int | None = None
) -> None:
    """Write labels as a PNG, atomically; see ``encode_labels``."""
    _save(path, encode_labels(labels, wide=wide, unlabeled=unlabeled))


def encode_png(pixels: np.ndarray) -> bytes:
    """An image, uint8 [H, W], [H, W, 3] or [H, W, 4], as a PNG."""
    return _encoded(Image.fromarray(pixels))


def encode_photograph(pixels: np.ndarray) -> bytes:
    """A photograph, uint8 [H, W, 3], as a PNG in a third of the time that Pillow's fastest takes.

    Each row as differences to the left, in Huffman codes alone: of a photograph few strings occur
    again, and to look for them is what takes zlib its time. 6 % larger than Pillow's at level 1.
    """
    height, width = pixels.shape[:2]
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = _TO_THE_LEFT
    flat = pixels.reshape(height, 3 * width)
    rows[:, 1:4] = flat[:, :3]
    np.subtract(flat[:, 3:], flat[:, :-3], out=rows[:, 4:])
    codes = zlib.compressobj(1, strategy=zlib.Z_HUFFMAN_ONLY)
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    packed = codes.compress(rows.data) + codes.flush()
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image, uint8 [H, W], [H, W, 3] or [H, W, 4], as a PNG, atomically."""
    _save(path, encode_png(pixels))


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _save(path: Path, encoded: bytes) -> None:
    write_atomic(path, lambda temporary: temporary.write_bytes(encoded))


def legend(
    num_clusters: int,
    classes: tuple[int, ...] | None = None,
    class_names: tuple[str, ...] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """What the values of label files mean, for ``legend.json``.

    Args:
        num_clusters: K.
        classes: class of each cluster, K long, -1 for none; None where clusters have no names.
        class_names: C long; None likewise.

    Returns:
        ``clusters``: id, color ("#rrggbb") and, where they are named, the class (None for none);
        ``classes``, where clusters are named: id, color and name.
    """
    colors = _hexadecimal(num_clusters)
    clusters: list[dict[str, Any]] = [
        {"id": index, "color": color} for index, color in enumerate(colors)
    ]
    if classes is None or class_names is None:
        return {"clusters": clusters}
    for entry, index in zip(clusters, classes, strict=True):
        entry["class"] = class_names[index] if index >= 0 else None
    named = zip(range(len(class_names)), _hexadecimal(len(class_names)), class_names, strict=True)
    return {
        "clusters": clusters,
        "classes": [{"id": index, "color": color, "name": name} for index, color, name in named],
    }


def segmenter_legend(
    num_clusters: int, mapping: Mapping | None, cut: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """``legend`` of a segmenter's K clusters, or of the ``cut`` groups that they are merged into.

    ``mapping`` names the clusters; None where they have no names.
    """
    if mapping is None:
        return legend(cut or num_clusters)
    named = legend(num_clusters, mapping.classes, mapping.class_names)
    return named if cut is None else {**legend(cut), "classes": named["classes"]}


def _hexadecimal(count: int) -> list[str]:
    colors = palette(max(2, count))[:count]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colors.tolist()]
