"""The report of a run: one HTML file that needs nothing beside itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raynef.report import html
from raynef.report.figures import training_figures
from raynef.report.index_map import counts_of
from raynef.report.palette import hex_color, palette
from raynef.report.records import Evaluation, Report
from raynef.report.run_gallery import COLUMNS, Legend, RunRow, run_rows, without_ignored
from raynef.report.tree_view import tree_view

MAX_SKIPPED = 500
_MAX_PATCHES = 9
_FACTS = ("miou", "accuracy", "crf_miou", "crf_accuracy", "num_images", "protocol", "matching")
_OF_GALLERY = ("filter.js", "ids.js", "large.js")  # scripts
_ONE_TABLE = 12  # rows; longer lists are split into two tables side by side


def render(report: Report) -> str:
    """The whole page as HTML text; write it as UTF-8."""
    evaluation = report.evaluation or Evaluation()
    legend = Legend(
        palette(max(2, 1 + _largest_cluster(report))),
        report.cluster_names,
        palette(max(2, 1 + _largest_class(report, evaluation))),
        report.class_names or evaluation.class_names,
    )
    rows = run_rows(report.gallery, legend)
    shown = {name for row in rows for name in row.views}
    tables, absent = _class_tables(evaluation, legend.class_colors)
    links = ["Gallery", *["Tree"] * bool(report.tree), "Scores", "Clusters"]
    links += ["Commands"] * bool(report.commands) + ["Training", "Recipe", "Environment"]
    return html.page(
        "run.html",
        scripts=("tip.js", "copy.js", "chart.js", *_OF_GALLERY * bool(rows)),
        kicker="raynef report",
        title=report.title,
        links=links + ["Skipped"] * bool(report.skipped),
        summary=report.summary,
        report=report,
        leaked=_leaked(report),
        rows=rows,
        chosen=_choices(rows),
        known=_known(rows, report, legend),
        columns={key: about for key, about in COLUMNS.items() if key in shown},
        tree=tree_view(report.tree, report.cluster_names) if report.tree else None,
        facts=_FACTS,
        tables=tables,
        absent=absent,
        colors=legend.cluster_colors,
        max_patches=_MAX_PATCHES,
        figures=training_figures(report.steps),
        recipe=_sections(report.recipe),
        environment=_pairs(report.environment),
        max_skipped=MAX_SKIPPED,
    )


@dataclass(frozen=True)
class _Choices:
    """What the gallery can be filtered by; ``scored``: it can be sorted by its errors."""

    names: list[str]
    clusters: list[int]
    scored: bool


def _choices(rows: Sequence[RunRow]) -> _Choices:
    return _Choices(
        sorted({name for row in rows for name in row.words}),
        sorted({cluster for row in rows for cluster in row.clusters}),
        any(row.accuracy is not None for row in rows),
    )


def _known(rows: Sequence[RunRow], report: Report, legend: Legend) -> dict[str, Any]:
    """What the page's script tells of a pixel: by cluster its color, name and class, by class its
    color and name."""
    of_cluster: dict[int, int] = {}
    for item in report.gallery:
        if item.classes is not None:
            numbers, _ = counts_of(item.clusters)
            classes = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
            classes[item.clusters] = item.classes  # that of every pixel of a cluster
            of_cluster |= dict(zip(numbers.tolist(), classes[numbers].tolist(), strict=True))
    clusters = {
        number: [chip.color, chip.note, of_cluster.get(number, -1)]
        for number in sorted({cluster for row in rows for cluster in row.clusters})
        for chip in [legend.cluster(number)]
    }
    classes = {
        number: [chip.color, chip.name]
        for number in range(len(legend.class_colors))
        for chip in [legend.of_class(number)]
    }
    return {"clusters": clusters, "classes": classes}


def _leaked(report: Report) -> bool:
    train = report.recipe.get("train")
    in_training = isinstance(train, Mapping) and bool(train.get("leak_labels"))
    scored = report.evaluation is not None and report.evaluation.labels_leaked
    return report.labels_leaked or in_training or scored


def _class_tables(
    evaluation: Evaluation, colors: np.ndarray
) -> tuple[list[list[tuple[str | None, str, float]]], list[str]]:
    """(color, name, IoU) of classes in at most two tables, the best first, and classes without.

    ``colors`` uint8 [num_colors, 3] are by the class's index.
    """
    known, absent = [], []
    numbers = {name: index for index, name in evaluation.class_names.items()}
    for name, iou in evaluation.per_class_iou.items():
        if iou is None or not math.isfinite(iou):
            absent.append(name)
        else:
            color = hex_color(colors[numbers[name]]) if name in numbers else None
            known.append((color, name, float(iou)))
    known.sort(key=lambda row: (-row[2], row[1]))
    half = len(known) if len(known) <= _ONE_TABLE else math.ceil(len(known) / 2)
    return [known[i : i + half] for i in range(0, len(known), half or 1)], absent


def _sections(recipe: Mapping[str, Any]) -> dict[str, tuple[int, list[tuple[str, Any]]]]:
    """Number of fields and values of each section; fields outside any section come first."""
    loose = {key: value for key, value in recipe.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in recipe.items() if isinstance(value, Mapping)}
    if loose:
        sections = {"general": loose, **sections}
    return {name: (len(fields), _pairs(fields)) for name, fields in sections.items()}


def _pairs(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names and values; deeper levels become dotted names."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _pairs(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", "—" if isinstance(value, Mapping) else value))
    return found


def _largest_cluster(report: Report) -> int:
    shown = [_largest(item.clusters) for item in report.gallery]
    in_tree = report.tree.num_clusters - 1 if report.tree else -1
    return max([in_tree, *shown, *(card.cluster for card in report.clusters)])


def _largest_class(report: Report, evaluation: Evaluation) -> int:
    maps = [part for item in report.gallery for part in (item.classes, without_ignored(item.label))]
    named = max([*evaluation.class_names, *report.class_names], default=-1)
    return max([named, *(_largest(part) for part in maps if part is not None)])


def _largest(index: np.ndarray) -> int:
    return int(index.max()) if index.size else -1
