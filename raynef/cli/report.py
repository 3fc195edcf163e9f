"""``raynef report``."""

from pathlib import Path

from raynef.cli.command import Command, Positional, Result


class Report(Command):
    """Write the report of a run or of a sweep: one HTML file that needs no network."""

    run: Positional[Path]
    """Folder of the run, or of the sweep."""
    images: bool = True
    """Show some of the data set; without, the page is report-no-images.html, which may go where the
    images may not."""

    def execute(self) -> Result:
        from raynef.jobs.report import write_report
        from raynef.sweeps.sweep_report import is_sweep, write_sweep_report

        write = write_sweep_report if is_sweep(self.run) else write_report
        return write(self.run, images=self.images)
