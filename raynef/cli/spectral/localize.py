"""``raynef spectral localize``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from raynef.cli.command import Address, Command
from raynef.cli.spectral.store import Root, logged_in


@dataclass(frozen=True, kw_only=True)
class Localize(Command):
    """A box around the main object of each image, and CorLoc where the data set has boxes."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made."""
    lost: bool = True
    """Also LOST's box, from the same features."""
    difficult: bool = True
    """Count the objects that VOC marks as difficult."""
    root: Root = None
    address: Address = None

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.spectral.localize import localize

        with logged_in(self.store):
            return localize(
                self.store,
                lost=self.lost,
                difficult=self.difficult,
                root=self.root,
                address=self.address,
            )
