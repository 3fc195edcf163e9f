"""``raynef predict``."""

from pathlib import Path

from raynef.cli.command import Address, Command, Positional, Result


class Predict(Command):
    """Segment new images: cluster-id PNGs and color overlays."""

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    source: Positional[str]
    """An image, or a folder of images; a path, or an address such as s3://bucket/folder."""
    out: Path
    """Folder for the results, beside the images'."""
    address: Address = None

    def execute(self) -> Result:
        from raynef.jobs.predict import predict

        return predict(self.run, self.source, self.out, address=self.address)
