"""HTML that is escaped unless it was built here: hostile file names stay text."""

import html
from collections.abc import Iterable
from typing import Union

_VOID = frozenset({"br", "img", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = Union[str, int, None, "Iterable[Child]"]


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element: ``tag("a", "text", href="#x", class_="y")``.

    Children that are not :class:`Markup` are escaped; ``None`` and nested iterables are flattened.
    A trailing underscore is dropped from an attribute's name and other underscores become dashes;
    the values None and False leave the attribute out, True writes it bare.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"')
    opening = f"<{name}{''.join(written)}>"
    return Markup(opening if name in _VOID else f"{opening}{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Children one after another, escaped where they are plain text."""
    return Markup("".join(_flatten(children)))


def _flatten(child: Child) -> Iterable[str]:
    if child is None:
        return
    if isinstance(child, Markup):
        yield str(child)
    elif isinstance(child, str | int):
        yield html.escape(str(child))
    else:
        for inner in child:
            yield from _flatten(inner)
