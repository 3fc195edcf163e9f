"""What is needed to repeat the run: recipe, environment, skipped files."""

from collections.abc import Mapping, Sequence
from typing import Any

from raynef.report.markup import Markup, join, tag
from raynef.report.words import value_text

MAX_SKIPPED = 500


def recipe_tables(recipe: Mapping[str, Any]) -> Markup:
    """One collapsible table per section; fields outside any section come first."""
    loose = {key: value for key, value in recipe.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in recipe.items() if isinstance(value, Mapping)}
    if loose:
        sections = {"general": loose, **sections}
    return tag(
        "div",
        [
            tag(
                "details",
                tag("summary", name, tag("span", _count(len(fields), "field"))),
                pairs(fields),
            )
            for name, fields in sections.items()
        ],
        class_="folds",
    )


def pairs(values: Mapping[str, Any]) -> Markup:
    """A table of names and values; deeper levels become dotted names."""
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", value_text(value)))
        for name, value in _flatten(values)
    ]
    return tag("table", tag("tbody", rows), class_="pairs")


def skipped_files(skipped: Sequence[Mapping[str, Any]]) -> Markup:
    """Name and reason of each, at most ``MAX_SKIPPED`` of them and then how many more."""
    rows = [
        tag(
            "tr",
            tag("th", str(entry.get("name", "?")), scope="row"),
            tag("td", str(entry.get("reason", "no reason given"))),
        )
        for entry in skipped[:MAX_SKIPPED]
    ]
    more = len(skipped) - len(rows)
    return tag(
        "details",
        tag("summary", _count(len(skipped), "file"), tag("span", "name and reason")),
        join(
            tag("table", tag("tbody", rows), class_="pairs"),
            tag("p", f"… and {more} more.", class_="note") if more else None,
        ),
        open=len(skipped) <= 12,
    )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _flatten(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", "—" if isinstance(value, Mapping) else value))
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
