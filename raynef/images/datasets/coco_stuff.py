"""COCO-Stuff-27: COCO 2017 with its 182 things and stuffs in 27 coarse classes.

    images/{train,val}2017/*.jpg
    annotations/{train,val}2017/*.png     0 to 181, and 255 = unlabeled (stuffthingmaps)
    curated/{train,val}2017/*.txt         stems; from the code of IIC (arXiv:1807.06653)

The field trains and evaluates on curated lists. Where there is one, a split is
Coco164kFull_Stuff_Coarse_7.txt (IIC, PiCIE; the validation images of STEGO and its successors) or,
without that one, Coco164kFull_Stuff_Coarse.txt; without either, every image.
"""

from raynef.core import IGNORE
from raynef.images.datasets.layout import Files, Layout

_FINE_IDS = {
    "electronic": range(71, 77),
    "appliance": range(77, 83),
    "food-things": range(51, 61),
    "furniture-things": range(61, 71),
    "indoor": range(83, 91),
    "kitchen": range(43, 51),
    "accessory": range(25, 33),
    "animal": range(15, 25),
    "outdoor": range(9, 15),
    "person": (0,),
    "sports": range(33, 43),
    "vehicle": range(1, 9),
    "ceiling": (101, 102),
    "floor": (100, 113, 114, 115, 116, 117),
    "food-stuff": (120, 121, 152, 169),
    "furniture-stuff": (97, 106, 107, 109, 111, 122, 129, 132, 155, 160, 164),
    "rawmaterial": (99, 131, 138, 142),
    "textile": (91, 92, 103, 104, 108, 130, 136, 140, 151, 166, 167),
    "wall": range(170, 177),
    "window": (179, 180),
    "building": (94, 95, 127, 150, 157, 165),
    "ground": (110, 124, 125, 135, 139, 143, 144, 146, 148, 153, 158),
    "plant": (93, 96, 118, 123, 128, 133, 141, 162, 168),
    "sky": (105, 156),
    "solid": (126, 134, 149, 159, 161, 181),
    "structural": (98, 112, 137, 145, 163),
    "water": (119, 147, 154, 177, 178),
}
"""Coarse class to the values of the label files: the supercategories of COCO-Stuff
(arXiv:1612.03716), each with its ids of the release less 1, in the order of IIC."""

COCO_STUFF_27_CLASSES = tuple(_FINE_IDS)


def _codes() -> tuple[int, ...]:
    codes = list(range(IGNORE + 1))  # a value that is no label stays, so that scoring refuses it
    for coarse, fine_ids in enumerate(_FINE_IDS.values()):
        for fine_id in fine_ids:
            codes[fine_id] = coarse
    return tuple(codes)


DATA_SETS = (
    Layout(
        name="coco_stuff_27",
        holds="images",
        splits=("train2017", "val2017"),
        aliases={"train": "train2017", "val": "val2017"},
        images=Files("images/{split}", ".jpg"),
        labels=Files("annotations/{split}", ".png"),
        lists="curated/{split}",
        list_names=("Coco164kFull_Stuff_Coarse_7.txt", "Coco164kFull_Stuff_Coarse.txt"),
        classes=COCO_STUFF_27_CLASSES,
        codes=_codes(),
    ),
)
