"""What one check found."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, ParamSpec

P = ParamSpec("P")
Verdict = Literal["ok", "warn", "fail"]
"""Warn where raynef works, but slower or less safely than it could; fail where something that it
needs does not work."""
Outcome = tuple[Verdict, str] | tuple[Verdict, str, str]
"""Verdict, what was found and, where something is to be done, advice."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str  # of what was looked at
    verdict: Verdict
    found: str  # what was seen
    advice: str = ""  # what to do, if anything


def check(name: str) -> Callable[[Callable[P, Outcome]], Callable[P, Finding]]:
    """Make a check, which returns a Finding of this name, of a function that returns its outcome"""

    def decorate(function: Callable[P, Outcome]) -> Callable[P, Finding]:
        @functools.wraps(function)
        def named(*args: P.args, **kwargs: P.kwargs) -> Finding:
            outcome = function(*args, **kwargs)
            return Finding(name, outcome[0], outcome[1], *outcome[2:])

        return named

    return decorate


def findings_of(name: str, check: Callable[[], Finding | Sequence[Finding]]) -> list[Finding]:
    """What a check finds; one that ends by an exception has found a failure, with its reason."""
    try:
        found = check()
    except Exception as error:  # noqa: BLE001  # a doctor does not die of a disease
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Finding(name, "fail", f"the check itself failed: {reason}", "report this line")]
    return [found] if isinstance(found, Finding) else list(found)
