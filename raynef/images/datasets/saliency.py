"""Photographs with one object that stands out and the mask of it: CUB, DUT-OMRON, DUTS-TE, ECSSD.

    test_images/*.jpg                  test_segmentations/*.png           CUB-200-2011
    DUT-OMRON-image/*.jpg              pixelwiseGT-new-PNG/*.png          DUT-OMRON
    DUTS-TE/DUTS-TE-Image/*.jpg        DUTS-TE/DUTS-TE-Mask/*.png         DUTS-TE
    images/*.jpg                       ground_truth_mask/*.png            ECSSD

An image and its mask have one stem; both may lie in folders of classes. The one split is ``test``:
Deep Spectral Methods score all images (Table 3, arXiv:2205.07839) and train on none.
"""

from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pairing import Files, find_root, only_split, pair
from raynef.io.storage import join

SALIENCY_CLASSES = ("background", "foreground")


def open_cub(root: str, split: str | None) -> ImageSet:
    """CUB-200-2011: the birds of its test split. The root may be what holds CUB_200_2011.

    Raises:
        UserError: the layout is not there, an unknown split, or images and masks do not pair up.
    """
    return _open("cub", root, split, "test_images", "test_segmentations", below="CUB_200_2011")


def open_dut_omron(root: str, split: str | None) -> ImageSet:
    """DUT-OMRON: 5,168 images. The root may be what holds DUT-OMRON.

    Raises:
        UserError: the layout is not there, an unknown split, or images and masks do not pair up.
    """
    images, masks = "DUT-OMRON-image", "pixelwiseGT-new-PNG"
    return _open("dut_omron", root, split, images, masks, below="DUT-OMRON")


def open_duts_te(root: str, split: str | None) -> ImageSet:
    """DUTS-TE: 5,019 images. The root may be what holds DUTS-TE, or that folder.

    Raises:
        UserError: the layout is not there, an unknown split, or images and masks do not pair up.
    """
    return _open("duts_te", root, split, "DUTS-TE-Image", "DUTS-TE-Mask", below="DUTS-TE")


def open_ecssd(root: str, split: str | None) -> ImageSet:
    """ECSSD: 1,000 images. The root may be what holds ECSSD.

    Raises:
        UserError: the layout is not there, an unknown split, or images and masks do not pair up.
    """
    return _open("ecssd", root, split, "images", "ground_truth_mask", below="ECSSD")


def _open(
    name: str, root: str, split: str | None, images: str, masks: str, *, below: str
) -> ImageSet:
    found = find_root(root, images, below=(below,))
    official = only_split(name, split, "test")
    files = pair(  # copies are about in other formats than the official ones
        Files(join(found, images), ".jpg", or_ending=(".jpeg", ".png")),
        Files(join(found, masks), ".png", or_ending=(".jpg", ".bmp")),
        kind="mask",
    )
    return ImageSet(found, official, files, SALIENCY_CLASSES, "mask", name)
