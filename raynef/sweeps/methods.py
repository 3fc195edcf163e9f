"""The methods that runs are compared by: one record each, in one registry.

A new method is a file in ``raynef.jobs`` that makes it, and its record in ``METHODS``; a baseline
of the backbone is a command with that, ``raynef baseline NAME``.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from raynef.config.overrides import override
from raynef.config.presets import with_presets
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
_STAR: dict[str, Any] = {"upon": "kmeans:kmeans_psi", "part": "kmeans-psi"}
_IMAGES = ("data", "backbone", "evaluate")
_CLUSTERS = (*_IMAGES, "kmeans", "eigen.num_eigenfunctions")
_SPECTRAL = ("data", "backbone", "spectral", "kmeans")  # of kmeans the number of points alone
_ALL = ("accuracy", "miou", "miou_majority")


@dataclass(frozen=True)
class Method:
    """How one method is made, scored and shown.

    Attributes:
        title: in a table.
        kind: of its trials: ours, leaked, spectral, or a baseline's own; one trial makes all
            methods of its kind.
        job: ``module:function`` of ``raynef.jobs`` that makes the trial's run.
        upon: likewise what makes the method of that run, if it is another.
        part: folder of the method within the trial's run.
        page: PAGE.html in that folder is what a score leads to; PAGE.json a spectral result.
        sees: sections and fields of the recipe that it depends on, besides the seed; empty for
            what trains ψ, which sees them all.
        preset: of a method, that it lays over the recipe.
        fixed: fields of the recipe that it sets itself.
        metrics: that it is scored by, without a CRF.
        truth: what a data set must have so that it can be scored.
        supervised: it saw labels in training: shown apart, and never the best of a row.
        captions: captions of images trained its text model: likewise never the best of a row.
        options: of a spectral job, from the recipe and the methods of the trial.
        suffix: of the metrics' names in a spectral result.
        about: what ``raynef baseline`` says that it does, a sentence; a baseline of the backbone
            has one.
    """

    title: str
    kind: str
    job: str = "train:train"
    upon: str = ""
    part: str = ""
    page: str = "report"
    sees: tuple[str, ...] = ()
    preset: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metrics: tuple[str, ...] = ("accuracy", "miou")
    truth: Literal["boxes", "labels", "masks"] = "labels"
    supervised: bool = False
    captions: bool = False
    options: Callable[[Recipe, Sequence[str]], Mapping[str, Any]] = lambda recipe, methods: {}
    suffix: str = ""
    about: str = ""

    @property
    def trains(self) -> bool:
        """Whether its trial trains ψ, in epochs and steps."""
        return not self.sees

    @property
    def is_spectral(self) -> bool:
        """Whether it is of Deep Spectral Methods, which train nothing."""
        return self.kind == "spectral"

    def sees_field(self, key: str) -> bool:
        """Whether it depends on a field or an axis, by its dotted name."""
        return not self.sees or key in self.sees or key.partition(".")[0] in self.sees

    def with_fixed(self, recipe: Recipe) -> Recipe:
        """A recipe with the fields that the method sets itself."""
        if self.preset:
            recipe = with_presets(recipe, [self.preset], sections=("data", "eigen", "train"))
        return override(recipe, self.fixed, source=self.title)

    def recipe(self, recipe: Recipe) -> Recipe:
        """A recipe as the method trains by it: what it does not see is at its default."""
        recipe = self.with_fixed(recipe)
        if not self.sees:
            return recipe
        seen: dict[str, Any] = {}
        for key in (*self.sees, "train.seed"):
            section, _, name = key.partition(".")
            value = getattr(recipe, section)
            if name:
                value = replace(getattr(Recipe(), section), **{name: getattr(value, name)})
            seen[section] = value
        return Recipe(**seen)


def job_of(name: str) -> Callable[..., dict[str, Any]]:
    """A job by its name, ``module:function`` of ``raynef.jobs``; imports what it needs."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(f"raynef.jobs.{module}"), function)


def _boxes(title: str, suffix: str = "") -> Method:
    return Method(
        title,
        "spectral",
        "spectral.localize:localize",
        part="localize",
        page="localize",
        sees=_SPECTRAL,
        metrics=("corloc",),
        truth="boxes",
        options=lambda recipe, methods: {"lost": "lost" in methods},
        suffix=suffix,
    )


def _labels(title: str, part: str, variant: str) -> Method:
    def options(recipe: Recipe, methods: Sequence[str]) -> dict[str, Any]:
        return {"recipe": recipe, "method": variant, "seed": recipe.train.seed}

    job = "spectral.semantic:semantic"
    made: dict[str, Any] = {"part": part, "page": "semantic", "options": options}
    return Method(title, "spectral", job, sees=_SPECTRAL, metrics=_ALL, **made)


_OBJECT: dict[str, Any] = {"part": "object", "page": "object", "truth": "masks"}
_LEAK: dict[str, Any] = {
    "fixed": {"train.leak_labels": True, "eigen.objective": "eigenfunctions"},
    "supervised": True,
}
_PROBE: dict[str, Any] = {"upon": "probe:probe_psi", "part": "probe-psi"}
METHODS = {
    "kmeans": Method(
        "K-means",
        "kmeans",
        "kmeans:kmeans",
        sees=_CLUSTERS,
        about="K-means on the backbone's features of the training views.",
    ),
    "kmeans_context": Method(
        "K-means in context",
        "kmeans-context",
        "kmeans:kmeans",
        sees=_CLUSTERS,
        fixed={"kmeans.context": 0.5},
    ),
    "spectral": Method(
        "spectral",
        "nystrom",
        "nystrom:spectral",
        sees=(*_CLUSTERS, "nystrom"),
        preset="clusterings",  # the images themselves: views of a patch would join one another
        about="Exact spectral clustering of one graph over the patches of all training images.",
    ),
    "ours": Method("Ours", "ours"),
    "ours_star": Method("Ours*", "ours", **_STAR),
    "clusterings": Method("clusterings", "clusterings", preset="clusterings"),
    "maskclip": Method(
        "MaskCLIP, captions",
        "maskclip",
        "maskclip:maskclip",
        sees=_IMAGES,
        captions=True,
        about="Patches classified by texts of the classes (MaskCLIP): CAPTIONS trained the model.",
    ),
    "probe": Method(
        "probe, backbone",
        "probe",
        "probe:probe",
        sees=(*_IMAGES, "probe"),
        supervised=True,
        about="A linear probe of the backbone's features, trained on LABELS: a diagnostic.",
    ),
    "probe_psi": Method("probe, ψ", "ours", **_PROBE, supervised=True),
    "leaked": Method("Ours, labels leaked", "leaked", **_LEAK),
    "leaked_star": Method("Ours*, labels leaked", "leaked", **_STAR, **_LEAK),
    "localize": _boxes("DSM"),
    "lost": _boxes("LOST", suffix="_lost"),
    "object": Method(
        "DSM", "spectral", "spectral.objects:segment_objects", sees=_SPECTRAL, **_OBJECT
    ),
    "semantic": _labels("DSM", "semantic", "spectral"),
    "cluster_seg": _labels("Cluster-Seg", "cluster_seg", "cluster-seg"),
    "cluster_patch": _labels("Cluster-Patch", "cluster_patch", "cluster-patch"),
}
"""All methods by key, in the order of a table."""
COLUMNS = tuple(key for key, method in METHODS.items() if not method.is_spectral)
"""What ``raynef compare`` compares."""
BASELINES = {
    method.part or key.replace("_", "-"): method
    for key, method in METHODS.items()
    if method.about or method.upon
}
"""What ``raynef baseline`` makes, by the name there: of the backbone, or upon a run of ψ."""
TRAINED = frozenset(method.kind for method in METHODS.values() if method.trains)
"""Kinds of trials that train ψ, in epochs."""
SUPERVISED = frozenset(key for key, method in METHODS.items() if method.supervised)
CAPTIONED = frozenset(key for key, method in METHODS.items() if method.captions)


def metrics_of_all(methods: Sequence[str]) -> tuple[str, ...]:
    """The metrics that every one of some methods gives."""
    return tuple(m for m in METRICS if all(m in METHODS[method].metrics for method in methods))


def with_crf(metrics: Iterable[str]) -> tuple[str, ...]:
    """Metrics, each followed by itself after the CRF where there is such a one."""
    both = ((metric, f"{metric}{CRF}") for metric in metrics)
    return tuple(metric for pair in both for metric in pair if metric in METRICS)
