"""``raynef predict``."""

from pathlib import Path
from typing import Literal

from raynef.cli.command import JobCommand, Positional, Result
from raynef.stores.formats.registry import FormatName


class Predict(JobCommand):
    """Segment new images and videos: label maps in many formats, and color overlays.

    The same command again resumes: what is done, of the same content, is left as it is.
    """

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    source: Positional[str]
    """An image, a video, or a folder of some; a path, or an address such as s3://bucket/folder."""
    out: str
    """Folder for the results, beside the images'; a path, or an address."""
    cut: int | None = None
    """Merge the clusters into so many groups, by their tree: fewer, larger segments."""
    format: tuple[FormatName, ...] = ("png",)
    """What to write, one or several."""
    overlay: Literal["png", "jpeg", "video", "none"] = "png"
    """The images with their segments in color, as what; video: those of frames as a video again,
    besides JPEGs."""
    tile: int | None = None
    """See photographs at full resolution, in overlapping windows of so many pixels: for fine detail
    in large images, such as aerial ones, beyond the scale that the run was trained at. GeoTIFFs
    (extra geo) are seen so in any case, in windows of the run's scale where none is given."""
    bands: tuple[int, ...] | None = None
    """Of TIFFs (extra geo), the three bands that are seen as red, green and blue, or one as gray;
    the first three if not given."""
    value_range: tuple[float, float] | None = None
    """Of TIFFs (extra geo), the values that are seen as black and as white; if not given, those of
    8 bits as they are, of others the 2nd and 98th percentile of each band over the scene."""
    every: int | None = None
    """Of a video (extra video), segment one of so many frames; one a second if not given."""
    crf: bool = False
    """Move the segments to the edges of the images by a dense CRF (extra crf), which takes long."""

    def execute(self) -> Result:
        from raynef.images.geotiff import Colors
        from raynef.jobs.predict import Options, predict

        colors = Colors(self.bands, self.value_range)
        options = Options(
            self.cut, self.format, self.overlay, self.tile, self.crf, colors, self.every
        )
        return predict(self.run, self.source, self.out, options=options, address=self.address)
