"""Pages from the templates of this folder; whatever they are given is escaped."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from raynef.report.ablation import is_leaked, paper_shown, shown
from raynef.report.embed import cut_out, embed
from raynef.report.palette import hex_color
from raynef.report.words import number, percent, quantity, term, value_text

if TYPE_CHECKING:
    from jinja2 import Environment


def page(template: str, **values: Any) -> str:
    """A whole page as HTML text; write it as UTF-8."""
    return templates().get_template(template).render(values)


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
    made.filters["unit"] = lambda place: f"{place:.1f}"  # drawing units
    made.filters["quantity"] = lambda value, key: quantity(key, value)
    return made
