"""The last that a training or a baseline does: its segmenter, then its result."""

import logging
from typing import Any

from raynef.config.recipe import Recipe
from raynef.eigen.psi import Psi
from raynef.features.backbone import load_backbone
from raynef.io.files import write_json
from raynef.jobs.spent import SEGMENTER, Spent
from raynef.jobs.tree import tree_of
from raynef.models.folder import save_tree
from raynef.models.heads import LinearHead
from raynef.models.origin import Origin, save_origin
from raynef.models.segmenter import Mapping, Segmenter
from raynef.stores.features import FeatureStore
from raynef.stores.run import RunFolder

logger = logging.getLogger("raynef")


def save_segmenter(
    run: RunFolder,
    recipe: Recipe,
    head: Psi | LinearHead,
    *,
    mapping: Mapping | None = None,
    supervised: bool = False,
    labels_leaked: bool,
    captions: bool = False,
) -> None:
    """Save the segmenter of a run with a head."""
    Segmenter(
        load_backbone(recipe.backbone),
        head,
        backbone_config=recipe.backbone,
        short_side=recipe.evaluate.short_side,
        mapping=mapping,
        supervised=supervised,
        labels_leaked=labels_leaked,
        captions=captions,
        tau=tau_of(head, recipe),
    ).save(run.segmenter)


def tau_of(head: Psi | LinearHead, recipe: Recipe) -> float | None:
    """Of the softmax that makes eigenfunctions of a head's outputs; None where ψ learned none."""
    learned = isinstance(head, Psi) and recipe.eigen.objective == "eigenfunctions"
    return recipe.eigen.tau_end if learned else None


def origin_of(run: RunFolder, recipe: Recipe, result: dict[str, Any]) -> Origin:
    """Of the segmenter of a run, by its record and its result."""
    record = run.record()
    made = record.environment
    learned = recipe.eigen.objective, recipe.eigen.head
    method = f"{learned[0]}, head {learned[1]}" if record.kind == "ours" else record.kind
    return Origin(
        method=method,
        data=recipe.data.name,
        num_images=result["num_images"],
        made=made.get("started", ""),
        versions=made.get("versions", {}),
        git_commit=made.get("git_commit"),
    )


def finish(
    run: RunFolder,
    recipe: Recipe,
    head: Psi | LinearHead,
    result: dict[str, Any],
    *,
    store: FeatureStore | None,
    spent: Spent,
    mapping: Mapping | None = None,
) -> dict[str, Any]:
    """Save a run's segmenter, then its result, which means that it is done; the result.

    Needs a running Ray. Clusters get a tree, of the features in ``store``; without stored features
    there is none. The result has ``labels_leaked`` and, where it was trained on labels,
    ``supervised``, or where its classes are of texts ``captions``; then ``mapping`` names the
    head's outputs. To it are added the seconds that were ``spent``.
    """
    save_segmenter(
        run,
        recipe,
        head,
        mapping=mapping,
        supervised=result.get("supervised", False),
        labels_leaked=result["labels_leaked"],
        captions="captions" in result,
    )
    save_origin(run.segmenter, origin_of(run, recipe, result))
    if store is not None and not result.get("supervised"):
        tree = tree_of(run.segmenter, store, precision=recipe.train.precision)
        save_tree(run.segmenter, tree)
    spent.until_here(SEGMENTER)
    logger.info("seconds: %s", spent.words())
    result = {"run": str(run.path), **result, "seconds_by_part": spent.plain()}
    write_json(run.train_file, result)
    return result
