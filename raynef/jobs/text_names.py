"""Names for clusters out of texts: ``raynef name RUN --text classes.txt``.

A model that captions trained says of each patch of the training images how well each class of a
file fits it; a cluster's proposal is the class that fits best on average, where it is clearly
ahead. The segmenter is used as it is: nothing is trained.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from raynef.assign.proposals import ClusterScores, Proposal, propose
from raynef.cluster.place import this_process
from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.features.backbone import load_backbone
from raynef.features.clip import CAPTIONS, PREFIX, ClipName
from raynef.features.dense_clip import Attention
from raynef.features.extract import extract_features
from raynef.features.precision import Precision, backbone_precision
from raynef.features.text import TextClasses, embed_classes, read_classes
from raynef.images.datasets.imageset import ImageFile
from raynef.images.geometry import resize_bicubic, short_side_size, whole_patches
from raynef.jobs.crops import Source, files_of
from raynef.jobs.naming import name_clusters
from raynef.models.folder import read_num_clusters
from raynef.models.names import NamesChangedError, change_names, read_names, require_name
from raynef.models.segmenter import Segmenter
from raynef.segment.patch_map import cluster_maps
from raynef.work.units import (
    Carried,
    ImageUnit,
    describe_skipped,
    image_units,
    read_images,
    watched,
)

logger = logging.getLogger("raynef")

MARGIN = 0.1
"""Of probability, between the best class and the second."""
SHORT_SIDE = 336
"""At which the text model sees an image, in pixels; that of NACLIP's experiments."""
_FINE = 4  # points of a patch's side at which clusters are looked up
_BATCH = 4  # images of a unit


@dataclass(frozen=True)
class TextModel:
    """What reads texts and looks at patches.

    Attributes:
        name: of a model of open_clip.
        weights: a tag of the hub, or a file; None where the name says where they are.
        attention: see ``raynef.features.dense_clip``.
    """

    name: str
    weights: str | None = None
    attention: Attention = "values"

    @property
    def which(self) -> ClipName:
        """The model and its weights."""
        return ClipName(self.name, self.weights)

    def backbone(self) -> BackboneConfig:
        """Its visual tower."""
        which, name = self.which, f"{PREFIX}{self.name}"
        tap = "neighborhood" if self.attention == "neighborhood" else "norm"
        if which.is_of_file or which.weights is None:
            return BackboneConfig(name=name, weights=which.weights, tap=tap)
        return BackboneConfig(name=f"{name}.{which.weights}", tap=tap)

    def __str__(self) -> str:
        return f"{self.which}, {self.attention}" if self.attention != "values" else str(self.which)


@dataclass(frozen=True)
class Scored:
    """What classes score in the clusters of the images of a unit."""

    scores: ClusterScores
    num_scored: int
    skipped: dict[str, str]

    @property
    def num_images(self) -> int:
        return self.num_scored + len(self.skipped)


class TextActor:
    """Actor: a segmenter and a text model; what classes score in clusters."""

    def __init__(
        self, segmenter: str, backbone: BackboneConfig, texts: TextClasses, device: str
    ) -> None:
        self.segmenter = Segmenter.load(segmenter, device=device)
        self.clip = load_backbone(backbone).to(device)
        asked = backbone.precision
        self.precision: Precision = backbone_precision(asked, torch.device(device))
        self.embeddings, self.scale = texts.embeddings.to(device), texts.scale

    def __call__(self, read: Carried[ImageUnit, np.ndarray]) -> Scored:
        scores = ClusterScores.empty(self.segmenter.num_clusters, len(self.embeddings))
        for image in read.values.values():
            scores = scores.plus(self._score(image))
        return Scored(scores, len(read.values), read.skipped)

    def _score(self, image: np.ndarray) -> ClusterScores:
        patch = self.clip.patch_size
        size = whole_patches(short_side_size(image.shape, SHORT_SIDE), patch)
        grid = (size[0] // patch, size[1] // patch)
        seen = resize_bicubic(image, size)[None]
        taps = extract_features(self.clip, seen, precision=self.precision).taps
        features = taps[0, -1].float()
        with torch.inference_mode():
            cosines = functional.normalize(features, dim=-1) @ self.embeddings.T
            probabilities = (self.scale * cosines).softmax(dim=-1).unflatten(0, grid)
            found = self.segmenter.patch_maps(self.segmenter.seen(image)[None])
        (clusters,) = cluster_maps(found, (_FINE * grid[0], _FINE * grid[1]))
        return ClusterScores.of_image(
            clusters, probabilities.cpu().double().numpy(), self.segmenter.num_clusters
        )


def name_by_text(
    run: str | Path,
    text: str | Path,
    model: TextModel,
    *,
    margin: float = MARGIN,
    images: str | None = None,
) -> dict[str, Any]:
    """Name the clusters that no person has named, where a class is clearly ahead of the others.

    Names that were proposed before are made anew. The result is that of ``name_clusters``, with
    ``text``: the model and what trained it, each proposal with its score and margin, and the
    clusters that it was written for.

    Args:
        run: its folder, or a segmenter's.
        text: a file of classes; see ``raynef.features.text``.
        model: what compares them with patches.
        margin: see ``raynef.assign.proposals.propose``.
        images: a folder or an address; None for the training images of the run.

    Raises:
        UserError: no segmenter, classes or images, or a model that cannot be had.
    """
    if not 0 <= margin <= 1:
        raise UserError(f"--text-margin must be in [0, 1], got {margin:g}")
    source = Source.of(run)
    num_clusters = read_num_clusters(source.segmenter)
    read_names(source.segmenter, num_clusters)  # a table that is none is said before all work
    classes = read_classes(Path(text))
    for one in classes:
        require_name(0, one.name, num_clusters, source=str(text))
    files = files_of(source, images)
    logger.info("%s: %s", model, CAPTIONS)
    texts = embed_classes(model.which, classes)
    scores, skipped = _scores(source.segmenter, model, texts, files)
    proposals = propose(scores, [one.name for one in classes], margin=margin)
    # As a cell of the table: a path may have anything in it.
    by = " ".join(str(model).replace('"', "'").split())
    written = _write(source.segmenter, num_clusters, proposals, by)
    logger.info("%d of %d clusters named by %s", len(written), num_clusters, model)
    rounded = {
        str(found.cluster): {
            "name": found.name,
            "score": round(found.score, 4),
            "margin": round(found.margin, 4),
        }
        for found in proposals
    }
    return {
        **name_clusters(run, {}),
        "text": {
            "model": str(model),
            "note": CAPTIONS,
            "num_classes": len(classes),
            "num_images": len(files) - len(skipped),
            "margin": margin,
            "proposals": rounded,
            "written": written,
        },
        "skipped": skipped,
    }


def _scores(
    segmenter: Path, model: TextModel, texts: TextClasses, files: Sequence[ImageFile]
) -> tuple[ClusterScores, dict[str, str]]:
    """Of all images, and {name: reason} of bad ones. Raises UserError: not one can be read."""
    scores = ClusterScores.empty(read_num_clusters(segmenter), len(texts.embeddings))
    skipped: dict[str, str] = {}
    with this_process():
        results = stream(
            image_units(files, _BATCH),
            prepare=read_images,
            actor=TextActor,
            actor_kwargs={
                "segmenter": str(segmenter),
                "backbone": model.backbone(),
                "texts": texts,
            },
            actors=feature_actors(),
        )
        for found in watched(results, "text", len(files)):
            scores = scores.plus(found.scores)
            skipped |= found.skipped
    if len(skipped) == len(files):
        raise UserError(f"not one image could be read: {describe_skipped(skipped)}")
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    return scores, skipped


def _write(
    folder: Path, num_clusters: int, proposals: Sequence[Proposal], source: str
) -> list[int]:
    """Name clusters as proposed, but for those that a person named; the clusters that were."""
    while True:
        names = read_names(folder, num_clusters)
        seen = {
            k: names.names.get(k)
            for k in range(num_clusters)
            if k not in names.names or k in names.sources
        }
        proposed = {found.cluster: found.name for found in proposals if found.cluster in seen}
        changes = {k: proposed.get(k) for k in seen}
        try:
            change_names(folder, num_clusters, changes, seen=seen, source=source)
        except NamesChangedError:  # by a person, while this was made
            continue
        return sorted(proposed)
