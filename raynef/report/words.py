"""What the numbers are called, what they mean, and how they are written."""

import math
import numbers
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Term:
    """A number's short name, its meaning in plain words, and whether it is a fraction of 1."""

    name: str
    meaning: str
    fraction: bool = False


TERMS: dict[str, Term] = {
    "miou": Term(
        "mIoU",
        "How well found and true areas overlap, averaged over classes; 100 % is perfect.",
        fraction=True,
    ),
    "accuracy": Term(
        "pixel accuracy", "Share of labeled pixels that got the right class.", fraction=True
    ),
    "miou_majority": Term(
        "mIoU by majority",
        "The same with each cluster named by the class that it overlaps most.",
        fraction=True,
    ),
    "crf_miou": Term(
        "mIoU after CRF",
        "The same after segments were fitted to the edges of the image.",
        fraction=True,
    ),
    "crf_accuracy": Term(
        "accuracy after CRF", "Share of labeled pixels that are right then.", fraction=True
    ),
    "num_images": Term("images", "Photographs that went in."),
    "num_patches": Term("patches", "Small squares the images were cut into; each gets a cluster."),
    "num_clusters": Term("clusters", "Groups the method may use; it finds them without labels."),
    "num_classes": Term("classes", "Named categories in the label files."),
    "num_steps": Term("training steps", "Times the network was adjusted, one batch each."),
    "num_epochs": Term("epochs", "Passes over the training images."),
    "num_workers": Term("workers", "Processes that shared the training."),
    "num_skipped": Term("skipped files", "Files that could not be used; listed below."),
    "loss": Term("loss", "What training makes small: penalty minus trace; lower is better."),
    "trace": Term(
        "trace",
        "Agreement of the clusters with the graph: patches that look alike share a cluster. "
        "Higher is better.",
    ),
    "penalty": Term("penalty", "How much clusters repeat each other; near 0 all differ."),
    "tau": Term("tau", "How soft the choice of a cluster is; falls, so that choices get firm."),
    "lr": Term("learning rate", "Size of one training step."),
    "clusters_in_use": Term("clusters in use", "Clusters that at least one patch belongs to."),
    "columns_below_1": Term(
        "weak clusters", "Clusters with hardly any patch in the batch; they are not scaled up."
    ),
    "entropy": Term("entropy", "How evenly patches spread over clusters; higher is more even."),
    "purity": Term("purity", "Share of a cluster's labeled pixels in its class.", fraction=True),
    "corloc": Term(
        "CorLoc", "Share of images whose box overlaps an object by half or more.", fraction=True
    ),
    "corloc_lost": Term("CorLoc of LOST", "The same for LOST's box.", fraction=True),
    "corloc_centre_box": Term(
        "CorLoc of a center box",
        "The same for a box at the center, of the mean size of all objects.",
        fraction=True,
    ),
    "corloc_centre_box_largest": Term(
        "CorLoc of a large center box",
        "Likewise, of the mean size of each image's largest object.",
        fraction=True,
    ),
    "corloc_whole_image": Term(
        "CorLoc of whole images", "The same for a box around everything.", fraction=True
    ),
    "num_scored": Term("scored images", "Images with at least one object."),
    "num_boxes": Term("boxes", "Objects that people drew boxes around."),
    "protocol": Term("protocol", "How images are resized and scored."),
    "matching": Term("matching", "How each cluster was given a class name for scoring."),
    "backbone": Term("backbone", "The pretrained network that describes each patch."),
    "dataset": Term("data set", "Where the images come from."),
    "seed": Term("seed", "Start of the random numbers; the same seed repeats the run."),
    "seconds": Term("seconds", "Wall-clock time of the run."),
    "images_per_second": Term("images per second", "Speed, all workers together."),
}
_ALIASES = {
    "mean_iou": "miou",
    "pixel_accuracy": "accuracy",
    "acc": "accuracy",
    "images": "num_images",
    "patches": "num_patches",
    "clusters": "num_clusters",
    "classes": "num_classes",
    "steps": "num_steps",
    "training_steps": "num_steps",
    "epochs": "num_epochs",
    "workers": "num_workers",
    "skipped": "num_skipped",
    "learning_rate": "lr",
    "data_set": "dataset",
    "duration_s": "seconds",
    "wall_s": "seconds",
}


def term(key: str) -> Term:
    """The glossary's entry for ``key``; an unknown key is its own name, without a meaning."""
    plain = key.strip().lower().replace(" ", "_").replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    return TERMS.get(plain) or Term(key.replace("_", " "), "")


def number(value: float) -> str:
    """At most four significant digits, thin spaces between thousands, a true minus sign."""
    if isinstance(value, numbers.Integral):
        text = f"{value:,}"
    elif not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    elif value != 0 and not 1e-3 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    else:
        digits = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "\u202f").replace("-", "−")


def percent(fraction: float) -> str:
    """``0.6213`` as ``62.1 %``."""
    return f"{100 * fraction:.1f}\u202f%" if math.isfinite(fraction) else number(fraction)


def value_text(value: Any) -> str:
    """Any value of a recipe or an environment as text."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value) or "—"
    plain = plain_number(value)
    return number(plain) if isinstance(plain, float) else str(value)


def quantity(key: str, value: Any) -> str:
    """``value`` as the glossary's entry for ``key`` writes it."""
    plain = plain_number(value)
    if plain is None:
        return value_text(value)
    return percent(plain) if term(key).fraction and 0 <= plain <= 1 else number(plain)


def plain_number(value: Any) -> int | float | None:
    """A Python or numpy number as int or float; None where ``value`` is not a number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return int(value) if isinstance(value, numbers.Integral) else float(value)
