"""The report of a run: one HTML file that needs nothing beside itself."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from raynef.report import html
from raynef.report.figures import training_figures
from raynef.report.gallery import COLUMNS, run_rows, without_ignored
from raynef.report.palette import hex_color, palette
from raynef.report.records import Evaluation, Report

MAX_SKIPPED = 500
_MAX_PATCHES = 9
_FACTS = ("miou", "accuracy", "crf_miou", "crf_accuracy", "num_images", "protocol", "matching")
_ONE_TABLE = 12  # rows; longer lists are split into two tables side by side


def render(report: Report) -> str:
    """The whole page as HTML text; write it as UTF-8."""
    evaluation = report.evaluation or Evaluation()
    clusters = palette(max(2, 1 + _largest_cluster(report)))
    classes = palette(max(2, 1 + _largest_class(report, evaluation)))
    rows = run_rows(report.gallery, clusters, classes, evaluation.class_names)
    shown = {picture.name for row in rows for picture in row.pictures}
    tables, absent = _class_tables(evaluation, classes)
    links = ["Gallery", "Scores", "Clusters", "Training", "Recipe", "Environment"]
    return html.page(
        "run.html",
        kicker="raynef report",
        title=report.title,
        links=links + ["Skipped"] * bool(report.skipped),
        summary=report.summary,
        report=report,
        leaked=_leaked(report),
        rows=rows,
        columns={key: about for key, about in COLUMNS.items() if key in shown},
        facts=_FACTS,
        tables=tables,
        absent=absent,
        colors=clusters,
        max_patches=_MAX_PATCHES,
        figures=training_figures(report.steps),
        recipe=_sections(report.recipe),
        environment=_pairs(report.environment),
        max_skipped=MAX_SKIPPED,
    )


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
    return max([*shown, *(card.cluster for card in report.clusters)], default=-1)


def _largest_class(report: Report, evaluation: Evaluation) -> int:
    maps = [part for item in report.gallery for part in (item.classes, without_ignored(item.label))]
    named = max(evaluation.class_names, default=-1)
    return max([named, *(_largest(part) for part in maps if part is not None)])


def _largest(index: np.ndarray) -> int:
    return int(index.max()) if index.size else -1
