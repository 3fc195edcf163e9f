"""``raynef doctor`` and ``raynef status``: the machine, and what stands in a folder."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

logger = logging.getLogger("raynef")


@dataclass(frozen=True)
class Doctor:
    """Check this machine, and say what to do about each problem."""

    address: Annotated[
        str | None,
        arg(help="Also look at the Ray cluster that lives there ('auto': the local one)."),
    ] = None


@dataclass(frozen=True)
class Status:
    """Tell where a run, a sweep, a store or a comparison stands; Ray need not run."""

    path: Positional[Path]
    """Its folder."""


def run_machine(args: Doctor | Status) -> dict[str, Any]:
    """Human lines on the log; the result for stdout."""
    if isinstance(args, Doctor):
        from raynef.ops.doctor.examine import doctor

        return doctor(address=args.address)
    from raynef.ops.status import status
    from raynef.ops.status_words import in_words

    facts = status(args.path)
    for line in in_words(facts):
        logger.info("%s", line)
    return facts
