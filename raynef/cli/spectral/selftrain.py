"""``raynef spectral selftrain``."""

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Self

from tyro.conf import arg

from raynef.cli.command import JobCommand, Line, Positional, Result
from raynef.cli.spectral.store import Method, logged_in
from raynef.config.recipe import Backbone, SelfTrain, check


class Selftrain(JobCommand):
    """A segmentation network trained on the store's own segments. The same command resumes."""

    store: Positional[Path]
    """Folder that raynef spectral semantic has labeled."""
    on: Path | None = None
    """Another store, whose images are labeled and scored in place of its own."""
    method: Method = "spectral"
    """Of raynef spectral semantic, whose labels these are."""
    settings: Annotated[SelfTrain, arg(name="selftrain")] = field(default_factory=SelfTrain)
    backbone: Backbone = field(default_factory=Backbone)
    """That the network starts from; by default the store's."""

    def complete(self, line: Line) -> Self:
        from raynef.jobs.spectral.eigen import recipe_of

        recipe = recipe_of(self.store)
        return line.over(replace(self, settings=recipe.selftrain, backbone=recipe.backbone))

    def execute(self) -> Result:
        from raynef.jobs.spectral.eigen import recipe_of
        from raynef.jobs.spectral.selftrain import selftrain

        with logged_in(self.store):
            recipe = recipe_of(self.store)
            return selftrain(
                self.store,
                check(replace(recipe, selftrain=self.settings, backbone=self.backbone)),
                on=self.on,
                method=self.method,
                address=self.address,
            )
