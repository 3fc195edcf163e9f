"""``raynef predict``."""

from pathlib import Path

from raynef.cli.command import JobCommand, Positional, Result


class Predict(JobCommand):
    """Segment new images: cluster-id PNGs and color overlays."""

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    source: Positional[str]
    """An image, or a folder of images; a path, or an address such as s3://bucket/folder."""
    out: Path
    """Folder for the results, beside the images'."""
    cut: int | None = None
    """Merge the clusters into so many groups, by their tree: fewer, larger segments."""

    def execute(self) -> Result:
        from raynef.jobs.predict import predict

        return predict(self.run, self.source, self.out, cut=self.cut, address=self.address)
