"""VOC detection: images with a box around each object, of VOC 2007, VOC 2012 or one's own.

    VOCdevkit/VOC2007/JPEGImages/*.jpg
                      Annotations/*.xml
                      ImageSets/Main/{train,val,trainval,test}.txt

A list holds a stem a line; one with an underscore (aeroplane_train.txt) is of a class and no split.
Deep Spectral Methods localize objects in trainval (Table 1, arXiv:2205.07839): 5,011 images of
VOC 2007, 11,540 of VOC 2012. The root may be what holds VOCdevkit, or lie within.
"""

from dataclasses import replace

from raynef.images.datasets.layout import Files, Layout

_OWN = Layout(  # where it has one list, that is each split
    name="voc_boxes",
    holds="ImageSets/Main",
    lists="ImageSets/Main",
    class_lists=True,
    one_split=True,
    images=Files("JPEGImages", ".jpg"),
    labels=Files("Annotations", ".xml"),
    kind="annotation",
)
DATA_SETS = (
    _OWN,
    *(
        replace(
            _OWN,
            name=f"voc{year}_boxes",
            below=(f"VOC{year}", f"VOCdevkit/VOC{year}"),
            one_split=False,
        )
        for year in (2007, 2012)
    ),
)
