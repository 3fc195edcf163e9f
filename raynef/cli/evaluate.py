"""``raynef evaluate``."""

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Self

from tyro.conf import arg

from raynef.cli.command import JobCommand, Line, Positional, Result
from raynef.cli.paths import absolute_paths
from raynef.config.presets import with_presets
from raynef.config.recipe import Data, check
from raynef.config.recipe import Evaluate as Protocol


class Evaluate(JobCommand):
    """Score a run on labeled images, and name its clusters by classes."""

    run: Positional[Path]
    """Folder of the run."""
    presets: Annotated[
        tuple[str, ...],
        arg(
            name="recipe",
            help="Presets or .yaml files whose data and evaluate sections lie over the run's own "
            "recipe; flags override them.",
        ),
    ] = ()
    data: Data = field(default_factory=Data)
    evaluate: Protocol = field(default_factory=Protocol)

    def complete(self, line: Line) -> Self:
        from raynef.stores.run import RunFolder, runs_of

        recipe = RunFolder(runs_of(self.run)[0]).recipe()
        recipe = with_presets(recipe, self.presets, sections=("data", "evaluate"))
        return line.over(replace(self, data=recipe.data, evaluate=recipe.evaluate))

    def execute(self) -> Result:
        """Score the run, or each run of a folder of several seeds and their mean."""
        from raynef.cluster.session import shared_session
        from raynef.jobs.evaluate import evaluate
        from raynef.jobs.seeds import summarize
        from raynef.stores.run import RunFolder, runs_of

        runs = runs_of(self.run)
        results = []
        with shared_session():
            for run in runs:
                recipe = RunFolder(run).recipe()
                recipe = check(replace(recipe, data=self.data, evaluate=self.evaluate))
                results.append(evaluate(run, recipe=absolute_paths(recipe), address=self.address))
        return results[0] if runs == [self.run] else summarize(self.run, results)
