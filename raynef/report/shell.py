"""What every page of raynef is made of: the document, its header, sections and footer."""

from collections.abc import Mapping, Sequence
from importlib import resources

from raynef.report.markup import Child, Markup, join, tag
from raynef.report.words import quantity, term

# The browser itself refuses whatever is not in this file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, header: Markup, sections: Sequence[Markup]) -> str:
    """The whole page as HTML text; write it as UTF-8."""
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · raynef"),
        tag("style", Markup(_style())),
    )
    body = join(header, tag("main", sections), _footer())
    page = tag("html", tag("head", head), tag("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def page_header(
    kicker: str,
    title: str,
    *,
    links: Sequence[str],
    warning: Child,
    summary: Mapping[str, str | float | int],
) -> Markup:
    """Title, links to the sections, a warning if any, and a tile for each number of ``summary``.

    Args:
        kicker: the line above the title.
        title: of the page.
        links: names of sections; each leads to the anchor that is the name in lower case.
        warning: what must be known before anything else; None where there is nothing.
        summary: by the glossary's keys.
    """
    tiles = [
        tag(
            "div",
            tag("dt", term(key).name),
            tag("dd", tag("b", quantity(key, value)), tag("span", term(key).meaning or None)),
            class_="tile text" if isinstance(value, str) and len(value) > 9 else "tile",
        )
        for key, value in summary.items()
    ]
    return tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", title),
        tag("nav", [tag("a", link, href=f"#{link.lower()}") for link in links]),
        tag("p", warning, class_="warning", role="alert") if warning else None,
        tag("dl", tiles, class_="tiles") if tiles else None,
    )


def section(
    anchor: str, heading: str, about: str, *content: Child, empty: tuple[str, str, str]
) -> Markup:
    """A heading, what it shows, and the content; without content the command that adds it."""
    if any(content):
        return tag(
            "section", tag("h2", heading), tag("p", about, class_="about"), content, id=anchor
        )
    what, command, adds = empty
    hint = tag("p", what, " ", tag("code", command), " ", adds, class_="empty")
    return tag("section", tag("h2", heading), hint, id=anchor)


def _footer() -> Markup:
    return tag("footer", tag("p", "Made by raynef. This file is complete: it loads nothing."))


def _style() -> str:
    return resources.files("raynef.report").joinpath("style.css").read_text(encoding="utf-8")
