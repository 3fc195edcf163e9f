"""Palette PNGs: ``clusters/*.png`` and, where clusters have names, ``classes/*.png``."""

import numpy as np

from raynef.stores.formats.base import Categories, Format, Labeled
from raynef.stores.label_files import UNLABELED, encode_labels


def _files(found: Labeled, categories: Categories) -> dict[str, bytes]:
    wide = categories.num_clusters >= 256  # so that all files of a folder are alike
    files = {f"clusters/{found.output}": encode_labels(found.clusters, wide=wide)}
    if found.classes is not None:
        classes = np.where(found.classes < 0, UNLABELED, found.classes)
        encoded = encode_labels(classes, wide=False, unlabeled=UNLABELED)
        files[f"classes/{found.output}"] = encoded
    return files


FORMAT = Format(files=_files)
