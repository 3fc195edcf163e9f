"""The methods that runs are compared by: one record each, in one registry.

A new method is a file in ``raynef.jobs`` that makes it, and its record in ``METHODS``.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from raynef.config.recipe import Recipe

CRF = "_crf"
"""Ends the name of a metric after the CRF, which stands beside the one before it."""
METRICS = {
    "accuracy": "Acc. (%)",
    "miou": "mIoU (%)",
    "miou_majority": "mIoU, majority (%)",
    "corloc": "CorLoc (%)",
    f"accuracy{CRF}": "Acc., CRF (%)",
    f"miou{CRF}": "mIoU, CRF (%)",
}
"""With their titles. ``miou_majority`` names clusters by majority where ``miou`` of labels matches
them one to one."""
_CLUSTERS = "eigen.num_eigenfunctions"


@dataclass(frozen=True)
class Method:
    """How one method is made, scored and shown.

    Attributes:
        title: in a table.
        kind: of its trials: ours, leaked, kmeans, probe or spectral. Methods of one kind share a
            trial.
        job: what makes the run of its trial, as ``module:function`` of ``raynef.jobs``.
        upon: what makes the method of that run, likewise; empty where the run is the method.
        part: folder of the method within the trial's run.
        page: of that folder, which a score leads to; PAGE.html, and of a spectral job PAGE.json.
        sees: sections and fields of the recipe that it depends on, besides the seed; empty for
            what trains ψ, which sees them all.
        metrics: that it is scored by, without a CRF.
        truth: what a data set must have so that it can be scored.
        supervised: it saw labels in training: shown apart, and never the best of a row.
        options: arguments of a spectral job besides its folder, from the recipe and the methods of
            the trial.
        suffix: of the metrics' names in the result of a spectral job.
    """

    title: str
    kind: str
    job: str
    upon: str = ""
    part: str = ""
    page: str = "report"
    sees: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy", "miou")
    truth: Literal["boxes", "labels", "masks"] = "labels"
    supervised: bool = False
    options: Callable[[Recipe, Sequence[str]], Mapping[str, Any]] = lambda recipe, methods: {}
    suffix: str = ""

    @property
    def trains(self) -> bool:
        """Whether its trial trains ψ, in epochs and steps."""
        return not self.sees

    @property
    def leaks(self) -> bool:
        """Whether labels reach the training of ψ."""
        return self.kind == "leaked"

    @property
    def is_spectral(self) -> bool:
        """Whether it is of Deep Spectral Methods, which train nothing."""
        return self.kind == "spectral"

    def sees_field(self, key: str) -> bool:
        """Whether it depends on a field or an axis, by its dotted name."""
        return not self.sees or key in self.sees or key.partition(".")[0] in self.sees

    def recipe(self, recipe: Recipe) -> Recipe:
        """A recipe as the method trains by it: what it does not see is at its default."""
        if self.leaks:
            return replace(recipe, train=replace(recipe.train, leak_labels=True))
        if not self.sees:
            return recipe
        seen: dict[str, Any] = {}
        for key in (*self.sees, "train.seed"):
            section, _, field = key.partition(".")
            value = getattr(recipe, section)
            if field:
                value = replace(getattr(Recipe(), section), **{field: getattr(value, field)})
            seen[section] = value
        return Recipe(**seen)


def job_of(name: str) -> Callable[..., dict[str, Any]]:
    """A job by its name, ``module:function`` of ``raynef.jobs``; imports what it needs."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(f"raynef.jobs.{module}"), function)


_STAR: dict[str, Any] = {"job": "train:train", "upon": "baseline:kmeans_psi", "part": "kmeans-psi"}
_SPECTRAL = ("data", "backbone", "spectral", "kmeans")  # of kmeans the number of points alone
_BOXES: dict[str, Any] = {
    "kind": "spectral",
    "job": "spectral.localize:localize",
    "part": "localize",
    "page": "localize",
    "sees": _SPECTRAL,
    "metrics": ("corloc",),
    "truth": "boxes",
    "options": lambda recipe, methods: {"lost": "lost" in methods},
}


def _labels(title: str, part: str, variant: str) -> Method:
    """One of the methods of ``raynef spectral semantic``."""
    return Method(
        title,
        "spectral",
        "spectral.semantic:semantic",
        part=part,
        page="semantic",
        sees=_SPECTRAL,
        metrics=("accuracy", "miou", "miou_majority"),
        options=lambda recipe, methods: {
            "recipe": recipe,
            "method": variant,
            "seed": recipe.train.seed,
        },
    )


METHODS = {
    "kmeans": Method(
        "K-means",
        "kmeans",
        "baseline:kmeans",
        sees=("data", "backbone", "kmeans", "evaluate", _CLUSTERS),
    ),
    "ours": Method("Ours", "ours", "train:train"),
    "ours_star": Method("Ours*", "ours", **_STAR),
    "probe": Method(
        "probe, backbone",
        "probe",
        "baseline:probe",
        sees=("data", "backbone", "probe", "evaluate"),
        supervised=True,
    ),
    "probe_psi": Method(
        "probe, ψ",
        "ours",
        "train:train",
        upon="baseline:probe_psi",
        part="probe-psi",
        supervised=True,
    ),
    "leaked": Method("Ours, labels leaked", "leaked", "train:train", supervised=True),
    "leaked_star": Method("Ours*, labels leaked", "leaked", **_STAR, supervised=True),
    "localize": Method("DSM", **_BOXES),
    "lost": Method("LOST", **_BOXES, suffix="_lost"),
    "object": Method(
        "DSM",
        "spectral",
        "spectral.objects:segment_objects",
        part="object",
        page="object",
        sees=_SPECTRAL,
        truth="masks",
    ),
    "semantic": _labels("DSM", "semantic", "spectral"),
    "cluster_seg": _labels("Cluster-Seg", "cluster_seg", "cluster-seg"),
    "cluster_patch": _labels("Cluster-Patch", "cluster_patch", "cluster-patch"),
}
"""All methods by key, in the order of a table."""
COLUMNS = tuple(key for key, method in METHODS.items() if not method.is_spectral)
"""What ``raynef compare`` compares."""
TRAINED = frozenset(method.kind for method in METHODS.values() if method.trains)
"""Kinds of trials that train ψ, in epochs."""
SUPERVISED = frozenset(key for key, method in METHODS.items() if method.supervised)


def metrics_of_all(methods: Sequence[str]) -> tuple[str, ...]:
    """The metrics that every one of some methods gives."""
    return tuple(m for m in METRICS if all(m in METHODS[method].metrics for method in methods))


def with_crf(metrics: Sequence[str]) -> tuple[str, ...]:
    """Metrics, each followed by itself after the CRF where there is such a one."""
    both = ((metric, f"{metric}{CRF}") for metric in metrics)
    return tuple(metric for pair in both for metric in pair if metric in METRICS)
