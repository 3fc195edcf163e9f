"""``raynef extract``."""

from pathlib import Path

from raynef.cli.command import JobCommand, RecipeCommand, Result


class Extract(RecipeCommand, JobCommand):
    """Make a feature store alone, to be shared by many runs (--train.store)."""

    out: Path
    """Folder of the store."""

    def execute(self) -> Result:
        from raynef.jobs.extract import extract_store

        return extract_store(self.config, self.out, address=self.address)
