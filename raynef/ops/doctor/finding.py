"""What one check found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: of what was looked at.
        verdict: ok; warn where raynef works, but slower or less safely than it could; fail where
            something that it needs does not work.
        found: what was seen.
        advice: what to do; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def findings_of(name: str, check: Callable[[], Finding | Sequence[Finding]]) -> list[Finding]:
    """What a check finds; one that ends by an exception has found a failure, with its reason."""
    try:
        found = check()
    except Exception as error:  # noqa: BLE001  # a doctor does not die of a disease
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Finding(name, "fail", f"the check itself failed: {reason}", "report this line")]
    return [found] if isinstance(found, Finding) else list(found)
