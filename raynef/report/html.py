"""Pages from the templates of this folder; whatever they are given is escaped."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from raynef.report import table
from raynef.report.ablation import is_leaked, paper_shown, shown
from raynef.report.embed import cut_out, embed
from raynef.report.palette import hex_color
from raynef.report.words import number, percent, quantity, term, value_text

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Script:
    """A script of the templates' folder, and the hash by which a page's policy allows it."""

    text: str
    hash: str


def page(template: str, *, scripts: Sequence[str] = (), **values: Any) -> str:
    """A whole page as HTML text; write it as UTF-8.

    ``scripts`` are files of the templates' folder, in their order. They share one scope, and the
    page's policy names each by its hash: no other script runs, wherever it came from.
    """
    found = [_script(name) for name in scripts]
    return templates().get_template(template).render(scripts=found, **values)


@lru_cache(maxsize=16)
def _script(name: str) -> Script:
    file = resources.files("raynef.report").joinpath("templates", name)
    text = "\n" + file.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).digest()
    return Script(text, f"sha256-{base64.b64encode(digest).decode('ascii')}")


@lru_cache(maxsize=1)
def templates() -> "Environment":
    """The templates, with the filters that they use."""
    # Imported when a page is written: most commands write none.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("raynef.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for show in (
        cut_out,
        embed,
        hex_color,
        is_leaked,
        number,
        paper_shown,
        percent,
        shown,
        term,
        value_text,
    ):
        made.filters[show.__name__] = show
    made.filters["percents"] = table.percent
    made.filters["unit"] = lambda place: f"{place:.1f}"  # drawing units
    made.filters["quantity"] = lambda value, key: quantity(key, value)
    return made
