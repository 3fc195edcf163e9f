"""Rows of pictures: a photograph, and what was found in it."""

from raynef.report.embed import shrink, shrink_labels, small_size
from raynef.report.palette import overlay, palette
from raynef.report.records import Picture, Row
from raynef.report.sweep_records import SweepImage

_SWEEP_WIDTH = 220  # pixels of a picture; a row has up to seven


def sweep_row(item: SweepImage) -> Row:
    """The photograph, then what each trial found in it."""
    size = small_size(*item.image.shape[:2], max_width=_SWEEP_WIDTH)
    image = shrink(item.image, size)
    pictures = [Picture("image", "the photograph", image)]
    for found in item.maps:
        kind = "classes" if found.classes else "clusters"
        colors = palette(max(2, 1 + int(found.index.max(initial=0))))
        painted = overlay(image, shrink_labels(found.index, size), colors)
        pictures.append(Picture(found.name, kind, painted, alt=f"{kind} of {found.name}"))
    return Row(item.name, None, tuple(pictures))
