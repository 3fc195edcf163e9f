"""The evaluation: what was measured and how, then IoU per class as a table with bars."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raynef.report.gallery import swatch
from raynef.report.markup import Markup, join, tag
from raynef.report.words import percent, quantity, term

_FACTS = ("miou", "accuracy", "crf_miou", "crf_accuracy", "num_images", "protocol", "matching")
_ONE_TABLE = 12  # rows; longer lists are split into two tables side by side


def scores(evaluation: Mapping[str, Any], class_colors: np.ndarray) -> Markup:
    """Facts and table; ``class_colors`` uint8 [num_colors, 3], indexed as ``class_names``."""
    values = _flat(evaluation)
    facts = [
        tag(
            "div",
            tag("dt", term(key).name),
            tag("dd", tag("b", quantity(key, values[key])), tag("span", term(key).meaning)),
        )
        for key in _FACTS
        if values.get(key) is not None
    ]
    per_class = evaluation.get("per_class_iou") or {}
    return join(
        tag("dl", facts, class_="facts"),
        _table(per_class, evaluation.get("miou"), _numbers(evaluation), class_colors)
        if per_class
        else None,
    )


def elsewhere(evaluations: Sequence[Mapping[str, Any]]) -> Markup:
    """Scores on data that the run never saw, a row for each data set."""
    columns = ("miou", "accuracy", "crf_miou", "crf_accuracy", "num_images", "protocol")
    rows = []
    for evaluation in evaluations:
        values, data = _flat(evaluation), evaluation.get("data") or {}
        cells = [
            tag("td", "—" if values.get(key) is None else quantity(key, values[key]))
            for key in columns
        ]
        name = join(str(data.get("name", "?")), tag("small", f" {data.get('root', '')}"))
        rows.append(tag("tr", tag("th", name, scope="row"), cells))
    heads = [tag("th", title, scope="col") for title in ("data", *(term(c).name for c in columns))]
    return join(
        tag("h3", "On other data"),
        tag(
            "p",
            "The same clusters on images of data sets that this run was not trained on, named by "
            "the labels there.",
            class_="note",
        ),
        tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="elsewhere"),
    )


def class_names(evaluation: Mapping[str, Any] | None) -> dict[int, str]:
    """Index to name; empty where there is no evaluation."""
    names = (evaluation or {}).get("class_names") or []
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    return {int(index): str(name) for index, name in pairs}


def _flat(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    crf = evaluation.get("crf") or {}
    return {**evaluation, "crf_miou": crf.get("miou"), "crf_accuracy": crf.get("accuracy")}


def _numbers(evaluation: Mapping[str, Any]) -> dict[str, int]:
    return {name: index for index, name in class_names(evaluation).items()}


def _table(
    per_class: Mapping[str, float | None],
    miou: float | None,
    numbers: Mapping[str, int],
    class_colors: np.ndarray,
) -> Markup:
    known, absent = [], []
    for name, iou in per_class.items():
        if iou is None or not math.isfinite(iou):
            absent.append(name)
        elif 0 <= iou <= 1:
            known.append((name, float(iou)))
        else:
            raise ValueError(
                f"per_class_iou[{name!r}] must be a fraction, 0 to 1, got {iou}; divide percents "
                "by 100"
            )
    known.sort(key=lambda pair: (-pair[1], pair[0]))
    rows = [
        tag(
            "tr",
            tag("th", _swatch(name, numbers, class_colors), name, scope="row"),
            tag("td", tag("div", tag("i", style=f"width:{100 * iou:.1f}%"), class_="bar")),
            tag("td", percent(iou), class_="figure"),
        )
        for name, iou in known
    ]
    half = len(rows) if len(rows) <= _ONE_TABLE else math.ceil(len(rows) / 2)
    mean = f"--mean:{100 * miou:.1f}%" if miou is not None and 0 <= miou <= 1 else None
    tables = [_columns(rows[start : start + half]) for start in range(0, len(rows), half or 1)]
    caption = (
        "IoU per class: the area that found and true segments share, divided by the area that "
        "either covers."
    )
    return join(
        tag("p", caption, " The fine line marks the mean (mIoU)." if mean else None, class_="note"),
        tag("div", tables, class_=f"tables of{len(tables)}", style=mean),
        tag("p", "Not in the scored images: ", ", ".join(absent), ".", class_="note")
        if absent
        else None,
    )


def _columns(rows: Sequence[Markup]) -> Markup:
    heads = [tag("th", name, scope="col") for name in ("class", "overlap with the label", "IoU")]
    return tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="iou")


def _swatch(name: str, numbers: Mapping[str, int], class_colors: np.ndarray) -> Markup | None:
    index = numbers.get(name)
    return swatch(class_colors[index]) if index is not None else None
