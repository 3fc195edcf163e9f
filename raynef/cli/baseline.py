"""``raynef baseline``: what a run is measured against. K-means, Ours*, and linear probes."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from tyro.conf import Positional

from raynef.cli.command import Address, Command, Line, RecipeCommand, Seeds
from raynef.config.recipe import KMeans, Probe, Recipe


@dataclass(frozen=True, kw_only=True)
class _OnImages(RecipeCommand):
    out: Path
    """Folder of the run."""
    seeds: Seeds = ()
    address: Address = None

    def _make(self, job: Any) -> dict[str, Any]:
        """Once, or once for each seed."""
        if self.seeds:
            from raynef.jobs.seeds import over_seeds

            return over_seeds(job, self.config, self.out, self.seeds, address=self.address)
        return job(self.config, self.out, address=self.address)


@dataclass(frozen=True, kw_only=True)
class BaselineKMeans(_OnImages):
    """K-means on the backbone's features of the training views."""

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.baseline import kmeans

        return self._make(kmeans)


@dataclass(frozen=True, kw_only=True)
class BaselineProbe(_OnImages):
    """A linear probe of the backbone's features, trained on LABELS: a diagnostic."""

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.baseline import probe

        return self._make(probe)


@dataclass(frozen=True, kw_only=True)
class _OnRun(Command):
    run: Positional[Path]
    """Folder of a finished run, or of several seeds."""
    out: Path | None = None
    """Folder of the baseline; by default one within the run's."""
    address: Address = None

    def _recipe(self) -> Recipe:
        from raynef.stores.run import RunFolder, runs_of

        return RunFolder(runs_of(self.run)[0]).recipe()

    def _make(self, job: Any, name: str) -> dict[str, Any]:
        from raynef.jobs.seeds import over_runs

        out = self.out or self.run / name
        return over_runs(job, self.run, out, address=self.address)


@dataclass(frozen=True, kw_only=True)
class BaselineKMeansPsi(_OnRun):
    """Ours*: K-means on the features of a run's ψ before its head, into RUN/kmeans-psi."""

    kmeans: KMeans = field(default_factory=KMeans)

    def complete(self, line: Line) -> Self:
        return line.over(replace(self, kmeans=self._recipe().kmeans))

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.baseline import kmeans_psi

        return self._make(partial(kmeans_psi, settings=self.kmeans), "kmeans-psi")


@dataclass(frozen=True, kw_only=True)
class BaselineProbePsi(_OnRun):
    """A linear probe of the features of a run's ψ, trained on LABELS, into RUN/probe-psi."""

    probe: Probe = field(default_factory=Probe)

    def complete(self, line: Line) -> Self:
        return line.over(replace(self, probe=self._recipe().probe))

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.baseline import probe_psi

        return self._make(partial(probe_psi, settings=self.probe), "probe-psi")
