"""The methods that a space compares, and the metrics that each of them gives."""

from collections.abc import Sequence

from raynef.sweeps.comparison import COLUMNS

SPECTRAL = {
    "localize": "DSM",
    "lost": "LOST",
    "object": "DSM",
    "semantic": "DSM",
    "cluster_seg": "Cluster-Seg",
    "cluster_patch": "Cluster-Patch",
}
"""Deep Spectral Methods and the baselines of their tables, by key, with their titles: boxes,
LOST's boxes, masks after the CRF, and labels of three kinds."""
METHODS = {**COLUMNS, **SPECTRAL}
"""All methods by key, with their titles in a table."""
CRF = "_crf"
"""Ends the name of a metric after the CRF, which stands beside the one before it."""
METRICS = ("accuracy", "miou", "miou_majority", "corloc", f"accuracy{CRF}", f"miou{CRF}")
"""``miou_majority`` names clusters by majority where ``miou`` of labels matches them one to one."""
_LABELS = ("accuracy", "miou", "miou_majority")
METRICS_OF = {
    **dict.fromkeys(COLUMNS, ("accuracy", "miou")),
    "localize": ("corloc",),
    "lost": ("corloc",),
    "object": ("accuracy", "miou"),
    "semantic": _LABELS,
    "cluster_seg": _LABELS,
    "cluster_patch": _LABELS,
}
"""What each method is scored by, without a CRF."""
SECTIONS = ("data", "backbone", "spectral", "kmeans")
"""Sections of the recipe that spectral methods see; of ``kmeans`` the number of points alone."""


def metrics_of_all(methods: Sequence[str]) -> tuple[str, ...]:
    """The metrics that every one of some methods gives."""
    return tuple(m for m in METRICS if all(m in METRICS_OF[method] for method in methods))


def with_crf(metrics: Sequence[str]) -> tuple[str, ...]:
    """Metrics, each followed by itself after the CRF where there is such a one."""
    both = ((metric, f"{metric}{CRF}") for metric in metrics)
    return tuple(metric for pair in both for metric in pair if metric in METRICS)
