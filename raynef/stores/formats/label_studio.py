"""``label_studio.json`` and ``label_studio.xml``: tasks with predictions, and a labeling interface.

Predictions are brushes, one for each category of an image, in the run lengths that Label Studio
reads. Images of a local folder are named as its local storage does, relative to the folder, which
is to be its document root; those at an address by the address.
"""

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from raynef.io.storage import is_address
from raynef.stores.formats.base import (
    Categories,
    Collected,
    Entry,
    Format,
    Labeled,
    json_items,
    write_parts,
)
from raynef.stores.formats.regions import regions, run_lengths

_CHANNELS = 4  # a mask is told as RGBA, all channels 0 or 255
_LENGTH_BITS = (4, 8, 12, 16)  # that a run's length may be told in
_VALUE_BITS = 8


def _entry(found: Labeled, _: Categories) -> list[list[Any]]:
    map_ = found.categories
    return [
        [region.category, base64.b64encode(packed(map_ == region.category)).decode()]
        for region in regions(map_)
    ]


def packed(mask: np.ndarray) -> bytes:
    """A mask, bool [H, W], as RGBA row by row in Label Studio's run lengths, a stream of bits.

    Its head: number of values in 32 bits, bits of a value less 1 in 5, and four times the bits of a
    length less 1 in 4. Each run: a 1, which of the four in 2 bits, its length less 1, its value.
    """
    bits = [f"{_CHANNELS * mask.size:032b}{_VALUE_BITS - 1:05b}"]
    bits += [f"{size - 1:04b}" for size in _LENGTH_BITS]
    most = 1 << _LENGTH_BITS[-1]
    for number, length in enumerate((_CHANNELS * run_lengths(mask.ravel())).tolist()):
        value = "11111111" if number % 2 else "00000000"
        for start in range(0, length, most):
            left = min(length - start, most) - 1
            kind = next(k for k, size in enumerate(_LENGTH_BITS) if left < 1 << size)
            bits.append(f"1{kind:02b}{left:0{_LENGTH_BITS[kind]}b}{value}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _task(entry: Entry, names: tuple[str, ...]) -> dict[str, Any]:
    local = f"/data/local-files/?d={quote(entry.name)}"
    size = {"original_width": entry.width, "original_height": entry.height}
    result = [
        {
            "id": f"segment{category}",
            "type": "brushlabels",
            "from_name": "segments",
            "to_name": "image",
            **size,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": list(base64.b64decode(runs)),
                "brushlabels": [names[category]],
            },
        }
        for category, runs in entry.own
    ]
    source = entry.source if is_address(entry.source) else local
    prediction = {"model_version": "raynef", "result": result}
    return {"data": {"image": source, "name": entry.name}, "predictions": [prediction]}


def _write_tasks(found: Collected, path: Path) -> None:
    tasks = (_task(entry, found.categories.names) for entry in found.entries())

    def parts() -> Iterator[str]:
        yield "["
        yield from json_items(tasks)
        yield "]\n"

    write_parts(path, parts())


def _write_interface(found: Collected, path: Path) -> None:
    labels = "".join(
        f'    <Label value="{escape(name)}" background="#{bytes(color).hex()}"/>\n'
        for name, color in zip(found.categories.names, found.categories.colors, strict=True)
    )
    write_parts(
        path,
        [
            '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="segments" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
        ],
    )


FORMAT = Format(
    entry=_entry,
    documents={"label_studio.json": _write_tasks, "label_studio.xml": _write_interface},
)
