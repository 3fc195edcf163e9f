"""``raynef spectral compare``."""

from pathlib import Path

from raynef.cli.command import Command, Positional, Result


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

    def execute(self) -> Result:
        from raynef.jobs.spectral.bridge import compare_spectra

        return compare_spectra(**self.arguments())
