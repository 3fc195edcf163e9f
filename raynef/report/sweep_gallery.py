"""The same images as several trials of a sweep see them, side by side."""

from collections.abc import Sequence

from raynef.report.embed import photo, shrink, shrink_labels, small_size
from raynef.report.markup import Markup, tag
from raynef.report.palette import overlay, palette
from raynef.report.sweep_records import SweepImage, TrialMap

_WIDTH = 220  # pixels; a row has up to seven pictures


def sweep_gallery(images: Sequence[SweepImage]) -> Markup:
    """A row for each image: the photograph, then what each trial found in it."""
    return tag("div", [_row(item) for item in images], class_="gallery several")


def _row(item: SweepImage) -> Markup:
    size = small_size(*item.image.shape[:2], max_width=_WIDTH)
    image = shrink(item.image, size)
    figures = [_figure("image", photo(image, alt=f"{item.name}: image"), "the photograph")]
    for found in item.maps:
        index = shrink_labels(found.index, size)
        painted = overlay(image, index, palette(max(2, 1 + int(found.index.max(initial=0)))))
        alt = f"{item.name}: {_kind(found)} of {found.name}"
        figures.append(_figure(found.name, photo(painted, alt=alt), _kind(found)))
    return tag("article", tag("h3", item.name), tag("div", figures, class_="row"))


def _figure(name: str, picture: Markup, about: str) -> Markup:
    return tag("figure", tag("figcaption", tag("b", name), " ", about), picture)


def _kind(found: TrialMap) -> str:
    return "classes" if found.classes else "clusters"
