"""``raynef spectral compare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from raynef.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class CompareSpectra(Command):
    """How well a run's eigenfunctions solve their problem: beside exact eigenvectors."""

    run: Positional[Path]
    """Folder of a finished run."""
    source: Positional[str]
    """An image or a folder of images."""
    num_images: int = 16
    """At most so many, spread over the folder; one graph is made of all."""
    out: Path | None = None
    """JSON file for the result."""

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.spectral.bridge import compare_spectra

        return compare_spectra(self.run, self.source, num_images=self.num_images, out=self.out)
