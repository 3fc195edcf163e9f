"""``raynef export``."""

from pathlib import Path
from typing import Literal

from raynef.cli.command import Command, Positional, Result


class Export(Command):
    """Write a segmenter as one file that ONNX Runtime or torch runs without raynef."""

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    out: Path
    """The file, such as segmenter.onnx."""
    format: Literal["onnx", "torch"] = "onnx"
    """onnx needs the extra: pip install 'raynef[onnx]'."""

    def execute(self) -> Result:
        from raynef.jobs.export import export

        return export(self.run, self.out, format=self.format)
