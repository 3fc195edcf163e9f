"""``raynef spectral localize``."""

from pathlib import Path

from raynef.cli.command import JobCommand, Positional, Result
from raynef.cli.spectral.store import Root, logged_in


class Localize(JobCommand):
    """A box around the main object of each image, and CorLoc where the data set has boxes."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made."""
    lost: bool = True
    """Also LOST's box, from the same features."""
    difficult: bool = True
    """Count the objects that VOC marks as difficult."""
    root: Root = None

    def execute(self) -> Result:
        from raynef.jobs.spectral.localize import localize

        with logged_in(self.store):
            return localize(**self.arguments())
