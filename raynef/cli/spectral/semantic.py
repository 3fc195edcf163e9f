"""``raynef spectral semantic``."""

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Self

from tyro.conf import arg

from raynef.cli.command import JobCommand, Line, Positional, Result
from raynef.cli.spectral.store import Method, logged_in
from raynef.config.recipe import Spectral as SpectralSettings
from raynef.config.recipe import check


class Semantic(JobCommand):
    """Segments with the same label in every image; mIoU where the data set has labels."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made, whose images are clustered."""
    method: Method = "spectral"
    """The paper's own, or a baseline of its Table 4."""
    on: Path | None = None
    """Another such folder, whose images are labeled in place of its own."""
    settings: Annotated[SpectralSettings, arg(name="spectral")] = field(
        default_factory=SpectralSettings
    )
    seed: int = 0
    """Of K-means."""

    def complete(self, line: Line) -> Self:
        from raynef.jobs.spectral.eigen import recipe_of

        return line.over(replace(self, settings=recipe_of(self.store).spectral))

    def execute(self) -> Result:
        from raynef.jobs.spectral.eigen import recipe_of
        from raynef.jobs.spectral.semantic import semantic

        with logged_in(self.store):
            return semantic(
                self.store,
                check(replace(recipe_of(self.store), spectral=self.settings)),
                method=self.method,
                on=self.on,
                seed=self.seed,
                address=self.address,
            )
