"""The report: one HTML file that needs nothing beside itself."""

from importlib import resources

import numpy as np

from raynef.core.palette import palette
from raynef.report.charts import charts
from raynef.report.clusters import cluster_cards
from raynef.report.details import pairs, recipe_tables, skipped_files
from raynef.report.gallery import gallery, without_ignored
from raynef.report.markup import Child, Markup, join, tag
from raynef.report.records import Report
from raynef.report.scores import class_names, elsewhere, scores
from raynef.report.words import quantity, term

# The browser itself refuses whatever is not in this file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render(report: Report) -> str:
    """The whole page as HTML text; write it as UTF-8."""
    clusters = palette(max(2, 1 + _largest_cluster(report)))
    classes = palette(max(2, 1 + _largest_class(report)))
    names = class_names(report.evaluation)
    leaked, supervised = _leaked(report), bool((report.evaluation or {}).get("supervised"))
    sections = [
        _section(
            "gallery",
            "Gallery",
            "Validation images and what was found in them. A segment is a region of one cluster; "
            "the same colour is the same cluster in every image.",
            gallery(report.gallery, clusters, classes, names) if report.gallery else None,
            _no_labels(report),
            empty=("No images are shown yet.", "raynef report", "adds validation images."),
        ),
        _section(
            "scores",
            "Scores",
            "How well the segments match the label files."
            + _part_of_labels(leaked=leaked, supervised=supervised),
            scores(report.evaluation, classes) if report.evaluation else None,
            elsewhere(report.elsewhere) if report.elsewhere else None,
            empty=("Not scored yet.", "raynef evaluate", "compares the segments with label files."),
        ),
        _section(
            "clusters",
            "Largest clusters",
            "Each card shows image cut-outs around the patches that define one cluster, the most "
            "typical first. A good cluster shows one kind of thing. Purity is the share of its "
            "labelled pixels that are of its class.",
            cluster_cards(report.clusters, clusters) if report.clusters else None,
            empty=("No clusters are shown yet.", "raynef report", "adds the largest ones."),
        ),
        _section(
            "training",
            "Training",
            "Each chart shows one group of numbers over the training steps; point at it to read "
            "the values. Upright lines mark where an epoch, a pass over the images, begins.",
            tag("div", figures, class_="plots") if (figures := charts(report.steps)) else None,
            empty=("No training steps are recorded.", "raynef train", "records them."),
        ),
        _section(
            "recipe",
            "Recipe",
            "Every setting of this run, enough to repeat it.",
            recipe_tables(report.recipe) if report.recipe else None,
            empty=("The recipe was not saved.", "raynef train", "saves it with its result."),
        ),
        _section(
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
        sections.append(_section("skipped", "Skipped files", about, files, empty=("", "", "")))
    body = join(_header(report, leaked), tag("main", sections), _footer())
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{report.title} · raynef"),
        tag("style", Markup(_style())),
    )
    page = tag("html", tag("head", head), tag("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def _header(report: Report, leaked: bool) -> Markup:
    tiles = [
        tag(
            "div",
            tag("dt", term(key).name),
            tag("dd", tag("b", quantity(key, value)), tag("span", term(key).meaning or None)),
            class_="tile text" if isinstance(value, str) and len(value) > 9 else "tile",
        )
        for key, value in report.summary.items()
    ]
    warning = (
        "Labels leaked: train.leak_labels was on, so this run saw the labels while training. Its "
        "scores say nothing about segmentation without labels."
    )
    links = ["Gallery", "Scores", "Clusters", "Training", "Recipe", "Environment"]
    if report.skipped:
        links.append("Skipped")
    return tag(
        "header",
        tag("p", "raynef report", class_="kicker"),
        tag("h1", report.title),
        tag("nav", [tag("a", link, href=f"#{link.lower()}") for link in links]),
        tag("p", warning, class_="warning", role="alert") if leaked else None,
        tag("dl", tiles, class_="tiles") if tiles else None,
    )


def _section(
    anchor: str, heading: str, about: str, *content: Child, empty: tuple[str, str, str]
) -> Markup:
    """A heading, what it shows, and the content; without content the command that adds it."""
    if any(content):
        return tag(
            "section", tag("h2", heading), tag("p", about, class_="about"), content, id=anchor
        )
    what, command, adds = empty
    hint = tag("p", what, " ", tag("code", command), " ", adds, class_="empty")
    return tag("section", tag("h2", heading), hint, id=anchor)


def _no_labels(report: Report) -> Markup | None:
    """Under a gallery without classes or labels: the command that adds them."""
    if not report.gallery or any(
        item.classes is not None or item.label is not None for item in report.gallery
    ):
        return None
    command = tag("code", "raynef evaluate")
    return tag("p", "No label files. ", command, " adds classes and labels.", class_="empty")


def _footer() -> Markup:
    return tag("footer", tag("p", "Made by raynef. This file is complete: it loads nothing."))


def _leaked(report: Report) -> bool:
    train = report.recipe.get("train")
    in_training = isinstance(train, dict) and bool(train.get("leak_labels"))
    return in_training or bool((report.evaluation or {}).get("labels_leaked"))


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


def _style() -> str:
    return resources.files("raynef.report").joinpath("style.css").read_text(encoding="utf-8")
