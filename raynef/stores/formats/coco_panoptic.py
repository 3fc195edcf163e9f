"""``panoptic.json`` and ``panoptic/*.png``: COCO's panoptic format, all categories as stuff.

A pixel's segment is R + 256·G + 65536·B of its color; 0 is none. As a category has one segment an
image, a segment's id is its category's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from raynef.stores.formats.base import Categories, Collected, Format, Labeled, write_parts
from raynef.stores.formats.coco import FIRST, categories_of, document
from raynef.stores.formats.regions import regions
from raynef.stores.label_files import encode_png

_FOLDER = "panoptic"


def _files(found: Labeled, _: Categories) -> dict[str, bytes]:
    ids = found.categories + FIRST
    colors = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
    return {f"{_FOLDER}/{found.output}": encode_png(colors)}


def _entry(found: Labeled, _: Categories) -> list[dict[str, Any]]:
    return [
        {
            "id": FIRST + region.category,
            "category_id": FIRST + region.category,
            "area": region.area,
            "bbox": region.box,
            "iscrowd": 0,
        }
        for region in regions(found.categories)
    ]


def _annotations(found: Collected) -> Iterator[dict[str, Any]]:
    for image, entry in enumerate(found.entries(), 1):
        yield {"image_id": image, "file_name": entry.output, "segments_info": entry.own}


def _write(found: Collected, path: Path) -> None:
    categories = categories_of(found.categories, isthing=0)
    write_parts(path, document(found, categories, _annotations(found)))


FORMAT = Format(files=_files, entry=_entry, documents={f"{_FOLDER}.json": _write})
