"""``raynef status``."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from raynef.cli.command import Command

logger = logging.getLogger("raynef")


@dataclass(frozen=True, kw_only=True)
class Status(Command):
    """Tell where a run, a sweep, a store or a comparison stands; Ray need not run."""

    path: Positional[Path]
    """Its folder."""

    def execute(self) -> dict[str, Any]:
        """Human lines on the log; the facts as a result."""
        from raynef.ops.status import status
        from raynef.ops.status_words import in_words

        facts = status(self.path)
        for line in in_words(facts):
            logger.info("%s", line)
        return facts
