"""``coco_rle.json``: COCO's annotations, one mask in run lengths for each category of an image.

Read by pycocotools: ``COCO("coco_rle.json").annToMask(annotation)``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from raynef.stores.formats.base import Categories, Collected, Format, Labeled, write_parts
from raynef.stores.formats.coco import FIRST, categories_of, compressed, document
from raynef.stores.formats.regions import regions


def _entry(found: Labeled, _: Categories) -> list[dict[str, Any]]:
    size = list(found.clusters.shape)
    map_, masks = found.categories, []
    for region in regions(map_):
        counts = compressed(np.asarray(map_ == region.category))
        masks.append(
            {
                "category_id": FIRST + region.category,
                "segmentation": {"size": size, "counts": counts},
                "area": region.area,
                "bbox": region.box,
                "iscrowd": 0,
            }
        )
    return masks


def _annotations(found: Collected) -> Iterator[dict[str, Any]]:
    number = 0
    for image, entry in enumerate(found.entries(), 1):
        for mask in entry.own:
            number += 1
            yield {"id": number, "image_id": image, **mask}


def _write(found: Collected, path: Path) -> None:
    write_parts(path, document(found, categories_of(found.categories), _annotations(found)))


FORMAT = Format(entry=_entry, documents={"coco_rle.json": _write})
