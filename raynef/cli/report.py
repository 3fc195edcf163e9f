"""``raynef report``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from raynef.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Write the report of a run or of a sweep: one HTML file that needs no network."""

    run: Positional[Path]
    """Folder of the run, or of the sweep."""
    images: bool = True
    """Show some of the data set; without, the page may go where its images may not."""

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.report import write_report
        from raynef.sweeps.sweep_report import is_sweep, write_sweep_report

        write = write_sweep_report if is_sweep(self.run) else write_report
        return write(self.run, images=self.images)
