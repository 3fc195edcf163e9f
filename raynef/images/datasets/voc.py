"""Pascal VOC 2012 with 20 classes and background.

    VOCdevkit/VOC2012/JPEGImages/*.jpg
                      SegmentationClass/*.png        0 to 20, and 255 = void
                      SegmentationClassAug/*.png     likewise, of the 10,582 images of trainaug.txt
                      ImageSets/Segmentation/{train,val,trainval,trainaug}.txt

A list holds a stem a line. The root may be the folder that holds VOCdevkit, VOCdevkit or VOC2012.
"""

from dataclasses import replace

from raynef.images.datasets.layout import Files, Layout

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""In the order of the development kit."""

VOC2012 = Layout(
    name="voc2012",
    holds="ImageSets/Segmentation",
    below=("VOC2012", "VOCdevkit/VOC2012"),
    lists="ImageSets/Segmentation",
    images=Files("JPEGImages", ".jpg"),
    labels=Files("SegmentationClass", ".png"),
    classes=VOC_CLASSES,
)
"""As published: 1,464 images to train and 1,449 to evaluate on."""

DATA_SETS = (
    VOC2012,
    replace(
        VOC2012,
        name="voc2012_aug",
        aliases={"train": "trainaug"},
        labels_of={"trainaug": "SegmentationClassAug"},
    ),
)
