"""ADE20K of the scene parsing challenge: 20,210 images to train, 2,000 to evaluate on, 150 classes.

    ADEChallengeData2016/images/{training,validation}/*.jpg
                         annotations/{training,validation}/*.png     0 = unlabeled, 1 to 150

The root may be the folder that holds ADEChallengeData2016, or that folder.
"""

from raynef.core import IGNORE
from raynef.images.datasets.layout import Files, Layout

ADE20K_CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field",
    "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing",
    "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand", "sink",
    "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case",
    "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind",
    "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth",
    "television", "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator",
    "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt",
    "canopy", "washer", "plaything", "swimming pool", "stool", "barrel", "basket", "waterfall",
    "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture",
    "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen",
    "plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
"""The first name of each line of the challenge's objectInfo150.txt."""

DATA_SETS = (
    Layout(  # what has no label is not scored (Table 4, arXiv:2304.02841)
        name="ade20k",
        holds="images",
        below=("ADEChallengeData2016",),
        splits=("training", "validation"),
        aliases={"train": "training", "val": "validation"},
        images=Files("images/{split}", ".jpg"),
        labels=Files("annotations/{split}", ".png"),
        classes=ADE20K_CLASSES,
        codes=(IGNORE, *range(len(ADE20K_CLASSES))),
    ),
)
