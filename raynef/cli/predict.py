"""``raynef predict``."""

from pathlib import Path
from typing import Literal

from raynef.cli.command import JobCommand, Positional, Result
from raynef.stores.formats.registry import FormatName


class Predict(JobCommand):
    """Segment new images: label maps in many formats, and color overlays.

    The same command again resumes: what is done, of the same content, is left as it is.
    """

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    source: Positional[str]
    """An image, or a folder of images; a path, or an address such as s3://bucket/folder."""
    out: str
    """Folder for the results, beside the images'; a path, or an address."""
    cut: int | None = None
    """Merge the clusters into so many groups, by their tree: fewer, larger segments."""
    format: tuple[FormatName, ...] = ("png",)
    """What to write, one or several."""
    overlay: Literal["png", "jpeg", "none"] = "png"
    """The images with their segments in color, as what."""
    tile: int | None = None
    """See photographs at full resolution, in overlapping windows of so many pixels: for fine detail
    in large images, such as aerial ones, beyond the scale that the run was trained at."""
    crf: bool = False
    """Move the segments to the edges of the images by a dense CRF (extra crf), which takes long."""

    def execute(self) -> Result:
        from raynef.jobs.predict import Options, predict

        options = Options(self.cut, self.format, self.overlay, self.tile, self.crf)
        return predict(self.run, self.source, self.out, options=options, address=self.address)
