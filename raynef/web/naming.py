"""The page on which a person names clusters: ``raynef name RUN``."""

import contextlib
import logging
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

from raynef.jobs.crops import crops_of
from raynef.jobs.naming import name_clusters
from raynef.models.folder import cut_tree, read_num_clusters, read_tree, segmenter_folder
from raynef.models.names import read_names
from raynef.web.naming_page import NamingPage
from raynef.web.naming_server import LoopbackServer

logger = logging.getLogger("raynef")


def page_of(run: str | Path, *, images: str | None = None, cut: int | None = None) -> NamingPage:
    """The page of a run's segmenter, its crops made where they are not there yet.

    Args:
        run: its folder, or a segmenter's.
        images: that crops are of; None for the training images of the run.
        cut: groups that the page begins with.

    Raises:
        UserError: no segmenter, no images, or a cut that its tree does not have.
    """
    folder = segmenter_folder(run)
    num_clusters = read_num_clusters(folder)
    tree = read_tree(folder, num_clusters)
    if cut is not None:
        cut_tree(tree, num_clusters, cut)
    read_names(folder, num_clusters)  # a table that is none is said before all work
    crops, index = crops_of(run, images)
    return NamingPage(_title(Path(run)), folder, num_clusters, tree, crops, index, cut)


def name_on_page(
    run: str | Path,
    *,
    images: str | None = None,
    cut: int | None = None,
    port: int = 0,
    browser: bool = True,
) -> dict[str, Any]:
    """Serve the page until Ctrl-C; the result of ``raynef name``. Arguments as of ``page_of``.

    Args:
        port: of 127.0.0.1; 0 for any that is free.
        browser: open it in the user's browser, where this machine has one.

    Raises:
        UserError: as ``page_of``, or a port that cannot be used.
    """
    page = page_of(run, images=images, cut=cut)
    served = LoopbackServer(page.get, page.post, port=port)
    with contextlib.suppress(KeyboardInterrupt), served as server:
        logger.info("names of %s: %s", page.title, server.address)
        logger.info("every name is saved at once; press Ctrl-C here to end")
        if browser and _has_screen():
            webbrowser.open(server.address)
        server.serve_forever()
    return name_clusters(run, {})


def _title(run: Path) -> str:
    run = run.absolute()
    return run.parent.name if run.name == "segmenter" else run.name


def _has_screen() -> bool:
    """Whether a browser would have a window: elsewhere it would take over the terminal."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
