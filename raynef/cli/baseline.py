"""``raynef baseline``: what a run is measured against. K-means, Ours*, and linear probes.

A baseline of the backbone's features is a command by its record in ``raynef.sweeps.methods``; one
upon a run of ψ is a class here, whose settings begin as the run's own.
"""

from collections.abc import Callable
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from raynef.cli.command import Command, JobCommand, Line, Positional, RecipeCommand, Result, Seeds
from raynef.config.recipe import KMeans, Probe, Recipe
from raynef.sweeps.methods import BASELINES, job_of


class OnImages(RecipeCommand, JobCommand):
    """A baseline of the features of a folder's images; its name and text come with its record."""

    out: Path
    """Folder of the run."""
    seeds: Seeds = ()
    job: ClassVar[str]

    def execute(self) -> Result:
        return self.over_seeds(job_of(self.job), self.out, self.seeds, self.address)


class _OnRun(JobCommand):
    run: Positional[Path]
    """Folder of a finished run, or of several seeds."""
    out: Path | None = None
    """Folder of the baseline; by default one within the run's."""

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
        from raynef.jobs.kmeans import kmeans_psi

        return self._make(partial(kmeans_psi, settings=self.kmeans), "kmeans-psi")


class BaselineProbePsi(_OnRun):
    """A linear probe of the features of a run's ψ, trained on LABELS, into RUN/probe-psi."""

    probe: Probe = field(default_factory=Probe)

    def complete(self, line: Line) -> Self:
        return line.over(replace(self, probe=self._recipe().probe))

    def execute(self) -> Result:
        from raynef.jobs.probe import probe_psi

        return self._make(partial(probe_psi, settings=self.probe), "probe-psi")


_UPON_RUNS = {"kmeans-psi": BaselineKMeansPsi, "probe-psi": BaselineProbePsi}


def command_of(name: str) -> type[Command]:
    """The command of a baseline, by its name in ``BASELINES``."""
    if name in _UPON_RUNS:
        return _UPON_RUNS[name]
    method = BASELINES[name]
    return type(f"Baseline {name}", (OnImages,), {"__doc__": method.about, "job": method.job})
