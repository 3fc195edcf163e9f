"""What COCO's two formats share: images, categories, and masks as compressed run lengths."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from raynef.stores.formats.base import Categories, Collected, json_items
from raynef.stores.formats.regions import run_lengths

FIRST = 1
"""Id of category 0: in COCO 0 is no category."""
_DIGITS = 7  # of 5 bits, for differences of up to 34 bits


def categories_of(categories: Categories, **more: Any) -> list[dict[str, Any]]:
    """The list of categories."""
    pairs = zip(categories.names, categories.colors, strict=True)
    return [
        {"id": FIRST + index, "name": name, "supercategory": "", "color": list(color), **more}
        for index, (name, color) in enumerate(pairs)
    ]


def document(
    found: Collected, categories: list[dict[str, Any]], annotations: Iterator[Any]
) -> Iterator[str]:
    """The parts of the file. Images are numbered from 1, in order."""
    images = (
        {
            "id": number,
            "file_name": entry.name,
            "width": entry.width,
            "height": entry.height,
            "license": 0,
        }
        for number, entry in enumerate(found.entries(), 1)
    )
    info = {"description": "segmented by raynef", "version": "1.0"}
    yield f'{{"info": {json.dumps(info)},\n"licenses": [],\n'
    yield f'"categories": [{"".join(json_items(categories))}],\n"images": ['
    yield from json_items(images)
    yield '],\n"annotations": ['
    yield from json_items(annotations)
    yield "]}\n"


def compressed(mask: np.ndarray) -> str:
    """A mask, bool [H, W], as COCO's string: column by column, digits of 5 bits.

    A run's length is told as its difference to the last but one, from the fourth run on.
    """
    lengths = run_lengths(mask.ravel(order="F"))
    values = lengths.copy()
    values[3:] -= lengths[1:-2]
    shifts = 5 * np.arange(_DIGITS)
    digits = (values[:, None] >> shifts) & 31
    # The digits end where the rest is the sign that the last one has in its highest bit.
    sign = np.where(digits & 16, -1, 0)
    ends = (values[:, None] >> (shifts + 5)) == sign
    last = ends.argmax(axis=1)
    place = np.arange(_DIGITS)
    digits |= np.where(place < last[:, None], 32, 0)
    used = place <= last[:, None]
    return (digits[used] + 48).astype(np.uint8).tobytes().decode("ascii")
