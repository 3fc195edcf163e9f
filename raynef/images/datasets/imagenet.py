"""ImageNet-1k, without its labels: train/<wnid>/*.JPEG, for zero-shot transfer.

What is learned here is evaluated on another data set (Table 8, arXiv:2304.02841).
"""

from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pairing import Files, find_root, official_split, pair
from raynef.io.storage import join


def open_imagenet(root: str, split: str | None) -> ImageSet:
    """The training images, in the order of their names.

    Raises:
        UserError: no train folder, no image in it, or another split.
    """
    found = find_root(root, "train")
    official = official_split("imagenet", split, ("train",))
    return ImageSet(
        found, official, pair(Files(join(found, "train"), ".JPEG"), None), name="imagenet"
    )
