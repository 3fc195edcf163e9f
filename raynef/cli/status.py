"""``raynef status``."""

import logging
from pathlib import Path
from typing import ClassVar

from raynef.cli.command import Command, Positional, Result

logger = logging.getLogger("raynef")


class Status(Command):
    """Tell where a run, a sweep, a store or a comparison stands; Ray need not run."""

    says_result: ClassVar[bool] = True

    path: Positional[Path]
    """Its folder."""

    def execute(self) -> Result:
        """Human lines on the log; the facts as a result."""
        from raynef.ops.status import status
        from raynef.ops.status_words import in_words

        facts = status(self.path)
        for line in in_words(facts):
            logger.info("%s", line)
        return facts
