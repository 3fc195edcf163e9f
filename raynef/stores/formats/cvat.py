"""``cvat.xml``: the format "CVAT for images 1.1", a mask for each category of an image.

A task that has the images under these names takes it by *Upload annotations*.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from raynef.stores.formats.base import Categories, Collected, Format, Labeled, write_parts
from raynef.stores.formats.regions import regions, run_lengths

_PLACES = ("rle", "left", "top", "width", "height")


def _entry(found: Labeled, _: Categories) -> list[dict[str, Any]]:
    return [
        {
            "category": region.category,
            "rle": ", ".join(map(str, run_lengths(region.mask.ravel()).tolist())),
            "left": region.left,
            "top": region.top,
            "width": region.width,
            "height": region.height,
        }
        for region in regions(found.categories)
    ]


def _parts(found: Collected) -> Iterator[str]:
    names, colors = found.categories.names, found.categories.colors
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    yield "  <meta>\n    <task>\n      <mode>annotation</mode>\n      <labels>\n"
    for name, color in zip(names, colors, strict=True):
        yield (
            f"        <label><name>{escape(name)}</name><color>#{bytes(color).hex()}</color>"
            "<type>mask</type><attributes></attributes></label>\n"
        )
    yield "      </labels>\n    </task>\n  </meta>\n"
    for number, entry in enumerate(found.entries()):
        yield (
            f'  <image id="{number}" name="{escape(entry.name)}" width="{entry.width}" '
            f'height="{entry.height}">\n'
        )
        for mask in entry.own:
            label = escape(names[mask["category"]])
            places = " ".join(f'{name}="{mask[name]}"' for name in _PLACES)
            yield f'    <mask label="{label}" source="auto" occluded="0" {places} z_order="0"/>\n'
        yield "  </image>\n"
    yield "</annotations>\n"


def _write(found: Collected, path: Path) -> None:
    write_parts(path, _parts(found))


FORMAT = Format(entry=_entry, documents={"cvat.xml": _write})
