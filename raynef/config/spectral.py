"""The sections of a recipe that Deep Spectral Methods reads (arXiv:2205.07839)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from raynef.config.fields import (
    INFINITE,
    Count,
    Key,
    Neighbors,
    Positive,
    at_least,
    at_most_field,
)

IMAGES, EIGENPAIRS = Key("images", always=True), Key("eigenpairs", always=True)
SEGMENTS, CUTS = Key("segments", always=True), Key("cuts", always=True)


@dataclass(frozen=True)
class Spectral:
    """Deep Spectral Methods: exact eigenvectors of each image (arXiv:2205.07839)."""

    feature: Annotated[Literal["key", "query", "value", "output", "token"], IMAGES] = "key"
    """What is compared: the attention's keys, queries, values or output, or the block's output."""
    block: Annotated[int, IMAGES] = -1
    """Block that it is taken from; -1 is the last."""
    stage: Annotated[int | None, IMAGES] = None
    """Of a pyramid (ResNet, ConvNeXt), the stage whose blocks these are; by default the last."""
    max_side: Annotated[Count, IMAGES] = 1024
    """Longest side of an image in pixels; larger ones are resized. The paper's have none."""
    resolution: Annotated[Count, EIGENPAIRS] = 8
    """Pixels of a node's side: features are resized up to it and the image down (M/8 x N/8)."""
    color_weight: Annotated[float, at_least(0), INFINITE, EIGENPAIRS] = 10.0
    """Weight λ of the color graph; .inf for colors alone."""
    color_space: Annotated[Literal["hsv", "rgb"], EIGENPAIRS] = "hsv"
    """Of the color graph."""
    color_neighbors: Annotated[Neighbors, EIGENPAIRS] = ((20, 2.0), (10, 0.1))
    """Pairs (k, distance weight) of the color graph."""
    num_eigenvectors: Annotated[Count, EIGENPAIRS] = 15
    """Eigenvectors of each image, besides the constant one."""
    num_segments: Annotated[Count, SEGMENTS] = 15
    """Segments of an image before they are named (semantic)."""
    num_clusters: Count = 20
    """Clusters of segments over all images, besides the background (semantic)."""
    background: Annotated[Literal["border", "largest"], CUTS] = "border"
    """Segment of an image that is its background: most border pixels, or the largest."""
    expand: Annotated[int, at_least(0), CUTS] = 2
    """Patches by which the box around a segment grows before it is cropped (semantic)."""
    hungarian: Literal["iou", "count"] = "iou"
    """What one-to-one matching of clusters and classes maximizes: the sum of IoU, as published, or
    of pixels (semantic)."""


@dataclass(frozen=True)
class SelfTrain:
    """A segmentation network trained on pseudo-labels (arXiv:2205.07839, supplement, Sec. 1)."""

    steps: Count = 2000
    """Training steps."""
    batch_size: Count = 144
    """Crops in the global batch, however many workers share it."""
    crop: Count = 224
    """Side of a random crop, in pixels; a multiple of the patch size."""
    lr: Positive = 1e-4
    """Adam's learning rate at the first step; it falls linearly to 0."""
    frozen: Annotated[int, at_least(0)] = 2
    """Leading blocks of the backbone (stages of a pyramid, its stem among them) that stay."""
    num_workers: Annotated[
        Count, at_most_field("selftrain.batch_size", "so that each worker has a crop")
    ] = 1
    """Workers that share the global batch."""
    checkpoint_steps: Count = 100
    """Steps between checkpoints: what a kill loses."""
    seed: int = 0
    """Of the head's weights, the order and the crops."""
    max_failures: Annotated[int, at_least(0)] = 3
    """Times that it goes on from its last checkpoint after a lost worker."""
