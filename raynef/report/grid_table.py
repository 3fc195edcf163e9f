"""The table of a sweep as HTML; every score is a link to the run that made it."""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from raynef.report.ablation import Entry, Grid, is_leaked, paper_shown, shown
from raynef.report.markup import Child, Markup, join, tag

Link = Callable[[str, Child], Markup]
"""(run, text) to a link."""


def grid_table(grid: Grid, link: Link) -> Markup | None:
    """The table with its notes; None without rows."""
    if not grid.rows:
        return None
    heads = [tag("th", name, scope="col") for name in (*grid.corner, *grid.columns)]
    rows = [
        tag(
            "tr",
            [tag("th", name, scope="row") for name in names],
            [_cell(entry, link) for entry in entries],
        )
        for names, entries in grid.rows
    ]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="grid")
    return join(
        tag("div", table, class_="wide"), [tag("p", note, class_="note") for note in grid.notes]
    )


def linker(links: Mapping[str, str]) -> Link:
    """Links as seen from the page; a run that ``links`` does not hold is opened as a folder."""

    def link(run: str, text: Child) -> Markup:
        # Quoted, colons too: no name of a folder can become another scheme than a relative path.
        return tag("a", text, href=quote(links.get(run, f"{run}/"), safe="/="))

    return link


def _cell(entry: Entry, link: Link) -> Markup:
    own: Child = tag("span", shown(entry), class_="muted")
    if entry.missing in ("failed", "damaged"):
        own = tag("span", shown(entry), class_="failed")
    if entry.scores:
        first, *others = entry.scores
        text = link(first.run, shown(entry))
        seeds = [[" ", tag("small", link(s.run, f"s{s.seed}"))] for s in others]
        own = [tag("b", text) if entry.best else text, seeds]
    paper = tag("span", f"({paper_shown(entry.paper)})", class_="paper") if entry.paper else None
    return tag(
        "td", own, " " if paper else None, paper, class_="leaked" if is_leaked(entry) else None
    )
