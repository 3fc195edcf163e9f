"""What the numbers are called, what they mean, and how they are written."""

import math
import numbers
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True)
class Term:
    """A number's short name, its meaning in plain words, and whether it is a fraction of 1."""

    name: str
    meaning: str
    fraction: bool = False


def term(key: str) -> Term:
    """The glossary's entry for ``key``; an unknown key is its own name, without a meaning."""
    plain = key.strip().lower().replace(" ", "_").replace("-", "_")
    return _glossary().get(plain) or Term(key.replace("_", " "), "")


@lru_cache(maxsize=1)
def _glossary() -> dict[str, Term]:
    """``glossary.yaml`` by all keys."""
    text = resources.files("raynef.report").joinpath("glossary.yaml").read_text(encoding="utf-8")
    entries, terms = yaml.safe_load(text), {}
    for key, entry in entries.items():
        found = Term(entry["name"], entry["meaning"], entry.get("fraction", False))
        terms |= dict.fromkeys([key, *entry.get("also", ())], found)
    return terms


def number(value: float) -> str:
    """At most four significant digits, thin spaces between thousands, a true minus sign."""
    if isinstance(value, numbers.Integral):
        text = f"{value:,}"
    elif not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    elif value != 0 and not 1e-3 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    else:
        digits = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "\u202f").replace("-", "−")


def percent(fraction: float) -> str:
    """``0.6213`` as ``62.1 %``."""
    return f"{100 * fraction:.1f}\u202f%" if math.isfinite(fraction) else number(fraction)


def value_text(value: Any) -> str:
    """Any value of a recipe or an environment as text."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value) or "—"
    plain = plain_number(value)
    return number(plain) if isinstance(plain, float) else str(value)


def quantity(key: str, value: Any) -> str:
    """``value`` as the glossary's entry for ``key`` writes it."""
    plain = plain_number(value)
    if plain is None:
        return value_text(value)
    return percent(plain) if term(key).fraction and 0 <= plain <= 1 else number(plain)


def plain_number(value: Any) -> int | float | None:
    """A Python or numpy number as int or float; None where ``value`` is not a number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return int(value) if isinstance(value, numbers.Integral) else float(value)
