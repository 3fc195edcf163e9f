"""``raynef spectral object``."""

from pathlib import Path

from raynef.cli.command import JobCommand, Positional, Result
from raynef.cli.spectral.store import Root, logged_in


class Objects(JobCommand):
    """The foreground of each image, refined by a CRF, and mean IoU where there are masks."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made."""
    out: Path | None = None
    """Folder for the masks, PNGs of 0 and 255; STORE/object if not given."""
    crf: bool = True
    """Refine the masks to the edges of the image."""
    root: Root = None

    def execute(self) -> Result:
        from raynef.jobs.spectral.objects import segment_objects

        with logged_in(self.store):
            return segment_objects(**self.arguments())
