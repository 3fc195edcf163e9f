"""ImageNet-1k, without its labels: train/<wnid>/*.JPEG, for zero-shot transfer.

What is learned here is evaluated on another data set (Table 8, arXiv:2304.02841).
"""

from raynef.images.datasets.layout import Files, Layout

DATA_SETS = (
    Layout(name="imagenet", holds="train", splits=("train",), images=Files("train", ".JPEG")),
)
