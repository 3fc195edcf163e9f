"""The report: one HTML file that needs nothing beside itself."""

import numpy as np

from raynef.report.charts import charts
from raynef.report.clusters import cluster_cards
from raynef.report.details import pairs, recipe_tables, skipped_files
from raynef.report.gallery import gallery, without_ignored
from raynef.report.markup import Markup, tag
from raynef.report.palette import palette
from raynef.report.records import Report
from raynef.report.scores import class_names, elsewhere, scores
from raynef.report.shell import document, page_header, section


def render(report: Report) -> str:
    """The whole page as HTML text; write it as UTF-8."""
    clusters = palette(max(2, 1 + _largest_cluster(report)))
    classes = palette(max(2, 1 + _largest_class(report)))
    names = class_names(report.evaluation)
    leaked, supervised = _leaked(report), bool((report.evaluation or {}).get("supervised"))
    sections = [
        section(
            "gallery",
            "Gallery",
            "Validation images and what was found in them. A segment is a region of one cluster; "
            "the same color is the same cluster in every image.",
            gallery(report.gallery, clusters, classes, names) if report.gallery else None,
            _no_labels(report),
            empty=("No images are shown yet.", "raynef report", "adds validation images."),
        ),
        section(
            "scores",
            "Scores",
            "How well the segments match the label files."
            + _part_of_labels(leaked=leaked, supervised=supervised),
            scores(report.evaluation, classes) if report.evaluation else None,
            elsewhere(report.elsewhere) if report.elsewhere else None,
            empty=("Not scored yet.", "raynef evaluate", "compares the segments with label files."),
        ),
        section(
            "clusters",
            "Largest clusters",
            "Each card shows image cut-outs around the patches that define one cluster, the most "
            "typical first. A good cluster shows one kind of thing. Purity is the share of its "
            "labeled pixels that are of its class.",
            cluster_cards(report.clusters, clusters) if report.clusters else None,
            empty=("No clusters are shown yet.", "raynef report", "adds the largest ones."),
        ),
        section(
            "training",
            "Training",
            "Each chart shows one group of numbers over the training steps; point at it to read "
            "the values. Upright lines mark where an epoch, a pass over the images, begins.",
            tag("div", figures, class_="plots") if (figures := charts(report.steps)) else None,
            empty=("No training steps are recorded.", "raynef train", "records them."),
        ),
        section(
            "recipe",
            "Recipe",
            "Every setting of this run, enough to repeat it.",
            recipe_tables(report.recipe) if report.recipe else None,
            empty=("The recipe was not saved.", "raynef train", "saves it with its result."),
        ),
        section(
            "environment",
            "Environment",
            "Software and machine that produced these numbers.",
            pairs(report.environment) if report.environment else None,
            empty=("Nothing is recorded.", "raynef train", "records versions and machine."),
        ),
    ]
    if report.skipped:
        about = "Files that could not be used. They count in no number above."
        files = skipped_files(report.skipped)
        sections.append(section("skipped", "Skipped files", about, files, empty=("", "", "")))
    return document(report.title, _header(report, leaked), sections)


def _header(report: Report, leaked: bool) -> Markup:
    warning = (
        "Labels leaked: train.leak_labels was on, in this run or in the one that it started from, "
        "so it saw the labels while training. Its scores say nothing about segmentation without "
        "labels."
    )
    links = ["Gallery", "Scores", "Clusters", "Training", "Recipe", "Environment"]
    if report.skipped:
        links.append("Skipped")
    return page_header(
        "raynef report",
        report.title,
        links=links,
        warning=warning if leaked else None,
        summary=report.summary,
    )


def _no_labels(report: Report) -> Markup | None:
    """Under a gallery without classes or labels: the command that adds them."""
    if not report.gallery or any(
        item.classes is not None or item.label is not None for item in report.gallery
    ):
        return None
    command = tag("code", "raynef evaluate")
    return tag("p", "No label files. ", command, " adds classes and labels.", class_="empty")


def _leaked(report: Report) -> bool:
    train = report.recipe.get("train")
    in_training = isinstance(train, dict) and bool(train.get("leak_labels"))
    return (
        report.labels_leaked or in_training or bool((report.evaluation or {}).get("labels_leaked"))
    )


def _part_of_labels(*, leaked: bool, supervised: bool) -> str:
    if supervised:
        return (
            " Supervised: a linear layer was trained on labels, on features that no label reached."
            if not leaked
            else " Supervised: a linear layer was trained on labels."
        )
    return "" if leaked else " Labels serve only to name and score clusters, not to train."


def _largest_cluster(report: Report) -> int:
    shown = [_largest(item.clusters) for item in report.gallery]
    return max([*shown, *(card.cluster for card in report.clusters)], default=-1)


def _largest_class(report: Report) -> int:
    maps = [part for item in report.gallery for part in (item.classes, without_ignored(item.label))]
    named = max(class_names(report.evaluation), default=-1)
    return max([named, *(_largest(part) for part in maps if part is not None)])


def _largest(index: np.ndarray) -> int:
    return int(index.max()) if index.size else -1
