"""A small run and a small sweep as reports, for tests of their pages."""

import numpy as np

from raynef.assign.tree import ClusterTree
from raynef.report.ablation import Entry, Grid, Score
from raynef.report.parallel import Column, parallel
from raynef.report.records import ClusterCard, Command, Evaluation, GalleryItem, Report
from raynef.report.sweep_records import Best, Curve, SweepReport, TrialEntry

NAMES = {0: "sky", 1: "grass", 2: "grass"}
"""Of the clusters, whose classes are sky and grass; cluster 3 has none."""
CLASSES = np.array([0, 1, 1, -1])
TREE = ClusterTree(
    np.array([40, 30, 20, 10]), np.array([[1, 2], [0, 3], [4, 5]]), np.array([0.2, 0.5, 1.0])
)


def an_image(name: str, *, lower: int, truth: int | None = None) -> GalleryItem:
    """Cluster 0 above another; ``truth`` is the class of the lower half, of which a row is 255."""
    clusters = np.zeros((80, 120), dtype=np.int64)
    clusters[40:] = lower
    label = None
    if truth is not None:
        label = np.zeros((80, 120), dtype=np.uint8)
        label[40:], label[79] = truth, 255
    image = np.zeros((80, 120, 3), dtype=np.uint8) + np.arange(120, dtype=np.uint8)[:, None]
    return GalleryItem(name, image, clusters, CLASSES[clusters], label)


def a_run(*, labeled: bool = True) -> Report:
    """Three images: right, half wrong, and one with a cluster that has no class."""
    truths = (1, 0, 1) if labeled else (None, None, None)
    names = zip("abc", (1, 2, 3), truths, strict=True)
    steps = [{"step": i, "epoch": i // 4, "loss": -0.5 * i} for i in range(9)]
    patch = np.zeros((16, 16, 3), dtype=np.uint8)
    return Report(
        title="photos",
        summary={"num_images": 3, "num_clusters": 4},
        recipe={"train": {"seed": 0}},
        environment={"python": "3.11"},
        steps=steps,
        evaluation=Evaluation(0.5, 0.75, class_names={0: "sky", 1: "grass"}) if labeled else None,
        gallery=[an_image(f"{n}.jpg", lower=low, truth=truth) for n, low, truth in names],
        clusters=[ClusterCard(0, 0.4, "sky", None, (patch,) * 3)],
        skipped=[],
        tree=TREE,
        cluster_names=NAMES,
        class_names={0: "sky", 1: "grass"},
        commands=[Command("Made this run", "raynef train --out 'my runs/photos'")],
    )


def a_sweep() -> SweepReport:
    """Two axes of two values each, of which the second trial is the best."""
    scores = (0.2, 0.4, 0.3, 0.25)
    runs = [f"trials/{i}/run" for i in range(4)]
    entries = tuple(
        Entry("miou", (Score({}, 0, {"miou": miou}, 6, run, leaked=False),), None, None)
        for miou, run in zip(scores, runs, strict=True)
    )
    alphas, sizes = (0.0, 0.0, 0.5, 0.5), (64.0, 128.0, 64.0, 128.0)
    columns = [
        Column("α", alphas),
        Column("K", sizes, log=True),
        Column("mIoU (%)", tuple(100 * score for score in scores)),
    ]
    steps = tuple({"step": i, "loss": -float(i)} for i in range(5))
    heads = tuple(f"α = {a:g}, K = {k:g}" for a, k in zip(alphas, sizes, strict=True))
    return SweepReport(
        Grid("Two axes", ("data",), heads, ((("photos",), entries),), ()),
        bests=(Best("photos", heads[1], "mIoU (%)", (0.4,), False, ("t1",), runs[1]),),
        coordinates=parallel(columns, heads, [False, True, False, False]),
        curves=tuple(Curve(head, steps) for head in heads),
        trials=tuple(TrialEntry(f"t{i}", head, "done") for i, head in enumerate(heads)),
    )
