"""Pascal Context: VOC 2010 images with 59 classes of things and stuff, and background.

    VOCdevkit/VOC2010/JPEGImages/*.jpg
                      SegmentationClassContext/*.png     0 = background, 1 to 59
                      ImageSets/SegmentationContext/{train,val}.txt

Labels and lists as the field makes them from the release (trainval_merged.json): 4,998 images to
train and 5,105 to evaluate on. The root may be the folder that holds VOCdevkit, VOCdevkit or
VOC2010.
"""

from raynef.core import IGNORE
from raynef.images.datasets.layout import Files, Layout

PASCAL_CONTEXT_CLASSES = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow",
    "cup", "curtain", "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse",
    "keyboard", "light", "motorbike", "mountain", "mouse", "person", "plate", "platform",
    "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow", "sofa",
    "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window", "wood",
)  # fmt: skip
"""Alphabetical, for the labels number the 59 by their ids among the 459 classes of the release."""


def _layout(name: str, classes: tuple[str, ...], codes: tuple[int, ...]) -> Layout:
    return Layout(
        name=name,
        holds="ImageSets/SegmentationContext",
        below=("VOC2010", "VOCdevkit/VOC2010"),
        lists="ImageSets/SegmentationContext",
        images=Files("JPEGImages", ".jpg"),
        labels=Files("SegmentationClassContext", ".png"),
        classes=classes,
        codes=codes,
    )


DATA_SETS = (
    # Without background (Tables 1 and 5 to 9, arXiv:2304.02841), and with it (Table 3).
    _layout("pascal_context", PASCAL_CONTEXT_CLASSES, codes=(IGNORE, *range(59))),
    _layout("pascal_context_60", ("background", *PASCAL_CONTEXT_CLASSES), codes=tuple(range(60))),
)
