"""``fiftyone/``: a data set that FiftyOne opens, with the images where they are.

``fo.Dataset.from_dir("OUT/fiftyone", dataset_type=fo.types.LegacyFiftyOneDataset)``: the layout
that holds plain JSON. Masks are gray, a category's number plus 1; 0 is none.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raynef.stores.formats.base import (
    Categories,
    Collected,
    Format,
    Labeled,
    json_items,
    write_parts,
)
from raynef.stores.label_files import encode_png

_FOLDER, _FIELD = "fiftyone", "segments"
_MASKS = f"fields/{_FIELD}"  # where FiftyOne looks for a field's files


def _files(found: Labeled, categories: Categories) -> dict[str, bytes]:
    kind = np.uint8 if len(categories.names) < 256 else np.uint16
    mask = (found.categories + 1).astype(kind)
    return {f"{_FOLDER}/{_MASKS}/{found.output}": encode_png(mask)}


def _parts(found: Collected) -> Iterator[str]:
    yield '{"samples": ['
    yield from json_items(
        {
            "filepath": entry.source,
            "name": entry.name,
            "metadata": {"_cls": "ImageMetadata", "width": entry.width, "height": entry.height},
            _FIELD: {"_cls": "Segmentation", "mask_path": f"{_MASKS}/{entry.output}"},
        }
        for entry in found.entries()
    )
    yield "]}\n"


def _write_samples(found: Collected, path: Path) -> None:
    write_parts(path, _parts(found))


def _write_metadata(found: Collected, path: Path) -> None:
    targets = {str(number): name for number, name in enumerate(found.categories.names, 1)}
    info = {"mask_targets": {_FIELD: targets}, "default_mask_targets": targets}
    write_parts(path, [json.dumps({"media_type": "image", "info": info}, indent=2), "\n"])


FORMAT = Format(
    files=_files,
    documents={
        f"{_FOLDER}/samples.json": _write_samples,
        f"{_FOLDER}/metadata.json": _write_metadata,
    },
)
