"""Patches classified by texts of the classes: ``raynef baseline maskclip`` (arXiv:2112.01071).

Nothing is trained and no label is opened. But captions of images trained the text model, so that
this is not without any supervision: it stands beside methods without labels, as in the papers, and
is marked there.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from raynef.config.recipe import Backbone, Recipe, check
from raynef.core.errors import UserError
from raynef.features.clip import CAPTIONS, PREFIX, ClipName
from raynef.features.text import TextClass, TextClasses, embed_classes, require_several
from raynef.features.weights import resolve_weights
from raynef.jobs.product import finish
from raynef.jobs.spent import FIT, START, Spent
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Mapping
from raynef.stores.inputs import begin, found_again, training_images
from raynef.stores.run import hold

logger = logging.getLogger("raynef")

KIND = "maskclip"


def maskclip(recipe: Recipe, out: str | Path, *, address: str | None = None) -> dict[str, Any]:
    """A segmenter whose outputs are the classes of a data set, by their names alone.

    The result of ``raynef baseline maskclip``. The backbone is one of open_clip, which knows texts;
    a class is described by its words, those between commas each.

    Args:
        recipe: of the data set and the backbone.
        out: folder of the run.
        address: of a Ray cluster, as for other baselines; there is no work for one.

    Raises:
        UserError: the user's mistake, named.
    """
    spent = Spent()
    recipe = check(recipe)
    which = _model_of(recipe.backbone)
    with hold(out, recipe, kind=KIND) as run:
        finished = run.finished()
        if finished is not None:
            return found_again(run, recipe, finished)
        images = training_images(run, recipe)
        names = images.class_names
        classes = [TextClass.of(name.replace("-", " "), name) for name in names]
        require_several(classes, source=f"names of classes of {recipe.data.root}")
        begin(run, recipe, images, kind=KIND)
        logger.info("%s: %s", which, CAPTIONS)
        spent.until_here(START)
        head = text_head(embed_classes(which, classes))
        spent.until_here(FIT)
        result = {
            "kind": KIND,
            "text_model": str(which),
            "captions": CAPTIONS,
            "num_clusters": len(names),
            "num_images": len(images.files),
            "supervised": False,
            "labels_leaked": False,
            "skipped": {},
        }
        mapping = Mapping(tuple(range(len(names))), names)
        return finish(run, recipe, head, result, store=None, spent=spent, mapping=mapping)


def text_head(texts: TextClasses) -> LinearHead:
    """The head whose logits are cosines with texts, as the text model scales them."""
    num_classes, dim = texts.embeddings.shape
    head = LinearHead(dim, num_classes, cosine=True)
    with torch.no_grad():
        head.head.weight.copy_(texts.scale * texts.embeddings)
        head.head.bias.zero_()
    return head


def _model_of(backbone: Backbone) -> ClipName:
    """The model whose visual tower the backbone is. Raises UserError: it is none of open_clip's."""
    if not backbone.name.startswith(PREFIX):
        raise UserError(
            f"maskclip compares patches with texts, which {backbone.name} does not know: lay the "
            f"preset maskclip_b16 over the data's, or give --backbone.name {PREFIX}NAME.TAG"
        )
    return ClipName.of_backbone(backbone.name, resolve_weights(backbone))
