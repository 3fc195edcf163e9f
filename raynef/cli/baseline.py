"""``raynef baseline``: what a run is measured against. K-means, Ours*, and linear probes."""

from collections.abc import Callable
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Self

from raynef.cli.command import Address, Command, Line, Positional, RecipeCommand, Result, Seeds
from raynef.config.recipe import KMeans, Probe, Recipe


class _OnImages(RecipeCommand):
    out: Path
    """Folder of the run."""
    seeds: Seeds = ()
    address: Address = None

    def _make(self, job: Callable[..., Result]) -> Result:
        return self.over_seeds(job, self.out, self.seeds, self.address)


class BaselineKMeans(_OnImages):
    """K-means on the backbone's features of the training views."""

    def execute(self) -> Result:
        from raynef.jobs.baseline import kmeans

        return self._make(kmeans)


class BaselineProbe(_OnImages):
    """A linear probe of the backbone's features, trained on LABELS: a diagnostic."""

    def execute(self) -> Result:
        from raynef.jobs.baseline import probe

        return self._make(probe)


class _OnRun(Command):
    run: Positional[Path]
    """Folder of a finished run, or of several seeds."""
    out: Path | None = None
    """Folder of the baseline; by default one within the run's."""
    address: Address = None

    def _recipe(self) -> Recipe:
        from raynef.stores.run import RunFolder, runs_of

        return RunFolder(runs_of(self.run)[0]).recipe()

    def _make(self, job: Callable[..., Result], name: str) -> Result:
        from raynef.jobs.seeds import over_runs

        return over_runs(job, self.run, self.out or self.run / name, address=self.address)


class BaselineKMeansPsi(_OnRun):
    """Ours*: K-means on the features of a run's ψ before its head, into RUN/kmeans-psi."""

    kmeans: KMeans = field(default_factory=KMeans)

    def complete(self, line: Line) -> Self:
        return line.over(replace(self, kmeans=self._recipe().kmeans))

    def execute(self) -> Result:
        from raynef.jobs.baseline import kmeans_psi

        return self._make(partial(kmeans_psi, settings=self.kmeans), "kmeans-psi")


class BaselineProbePsi(_OnRun):
    """A linear probe of the features of a run's ψ, trained on LABELS, into RUN/probe-psi."""

    probe: Probe = field(default_factory=Probe)

    def complete(self, line: Line) -> Self:
        return line.over(replace(self, probe=self._recipe().probe))

    def execute(self) -> Result:
        from raynef.jobs.baseline import probe_psi

        return self._make(partial(probe_psi, settings=self.probe), "probe-psi")
