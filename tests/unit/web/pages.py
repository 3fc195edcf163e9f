"""A page for names with no run behind it: eight clusters, their tree, and squares as crops."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from raynef.assign.tree import ClusterTree
from raynef.stores.crops import KINDS, CropFolder, CropIndex
from raynef.web.naming_page import NamingPage
from raynef.web.naming_server import LoopbackServer

SIZES = np.array([40, 5, 20, 10, 10, 5, 10, 0])
"""Of the clusters, in percent of all pixels; the last is in no image."""
MERGES = np.array([[0, 1], [3, 4], [5, 6], [2, 9], [7, 10], [11, 12], [8, 13]])
COUNTS = ((12, 4, 4),) * 7 + ((0, 0, 0),)


def page_in(folder: Path, *, with_tree: bool = True, cut: int | None = 3) -> NamingPage:
    """Groups of the cut: clusters 0 and 1; 2, 3 and 4; 5, 6 and 7."""
    crops = CropFolder(folder / "naming")
    crops.path.mkdir(parents=True, exist_ok=True)
    for cluster, counts in enumerate(COUNTS):
        color = (30 * cluster, 100, 200 - 20 * cluster)
        for kind, count in zip(KINDS, counts, strict=True):
            for number in range(count):
                Image.new("RGB", (8, 8), color).save(crops.crop(cluster, kind, number))
    tree = ClusterTree(SIZES, MERGES, np.linspace(0.1, 1, 7)) if with_tree else None
    index = CropIndex("segmenter", 10, tuple((SIZES * 100.0).tolist()), COUNTS)
    return NamingPage("photos", folder, len(SIZES), tree, crops, index, cut)


@contextlib.contextmanager
def served(page: NamingPage) -> Iterator[LoopbackServer]:
    """The page, on a port that is free."""
    with LoopbackServer(page.get, page.post) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
