"""Photographs with one object that stands out and the mask of it: CUB, DUT-OMRON, DUTS-TE, ECSSD.

    test_images/*.jpg            test_segmentations/*.png      CUB-200-2011, its test split
    DUT-OMRON-image/*.jpg        pixelwiseGT-new-PNG/*.png     DUT-OMRON, 5,168 images
    DUTS-TE/DUTS-TE-Image/*.jpg  DUTS-TE/DUTS-TE-Mask/*.png    DUTS-TE, 5,019
    images/*.jpg                 ground_truth_mask/*.png       ECSSD, 1,000

An image and its mask have one stem; both may lie in folders of classes. The root may be what holds
CUB_200_2011, DUT-OMRON, DUTS-TE or ECSSD, or that folder. The one split is ``test``: Deep Spectral
Methods score all images (Table 3, arXiv:2205.07839) and train on none.
"""

from raynef.images.datasets.layout import Files, Layout

SALIENCY_CLASSES = ("background", "foreground")


def _layout(name: str, images: str, masks: str, *, below: str) -> Layout:
    return Layout(
        name=name,
        holds=images,
        below=(below,),
        splits=("test",),
        one_split=True,
        # Copies are about in other formats than the official ones.
        images=Files(images, ".jpg", or_ending=(".jpeg", ".png")),
        labels=Files(masks, ".png", or_ending=(".jpg", ".bmp")),
        kind="mask",
        classes=SALIENCY_CLASSES,
        codes="mask",
    )


DATA_SETS = (
    _layout("cub", "test_images", "test_segmentations", below="CUB_200_2011"),
    _layout("dut_omron", "DUT-OMRON-image", "pixelwiseGT-new-PNG", below="DUT-OMRON"),
    _layout("duts_te", "DUTS-TE-Image", "DUTS-TE-Mask", below="DUTS-TE"),
    _layout("ecssd", "images", "ground_truth_mask", below="ECSSD"),
)
