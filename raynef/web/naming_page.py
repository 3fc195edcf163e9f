"""What the page for names asks for: its files, the clusters, their crops and names; and a change.

Below the token:

    (nothing), page.js, …       the page, as it lies in ``raynef/web/naming_files``
    clusters.json               what does not change: the tree, shares of pixels, number of crops
    names.json                  names by cluster; a POST changes some
    crops/3-typical-0.jpg       a crop
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from raynef.assign.tree import ClusterTree
from raynef.core.errors import UserError
from raynef.models.names import NOISE, UNSURE, Names, NamesChangedError, change_names, read_names
from raynef.stores.crops import KINDS, CropFolder, CropIndex
from raynef.web.naming_server import Reply, error_reply, json_reply

_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        name: (name, "text/javascript; charset=utf-8")
        for name in ("page.js", "draw.js", "names.js", "tree.js")
    },
}
_CROP = re.compile(rf"crops/(\d{{1,9}})-({'|'.join(KINDS)})-(\d{{1,3}})\.jpg")
_GROUPS = 1 / 3  # of K: groups that the page begins with


@dataclass(frozen=True)
class NamingPage:
    """The answers of one segmenter's page.

    Attributes:
        title: what the page calls the run.
        segmenter: its folder.
        num_clusters: K.
        tree: over them; None where there is none, and clusters stand by themselves.
        crops, index: what shows them.
        cut: groups that the page begins with; None for a third of K.
    """

    title: str
    segmenter: Path
    num_clusters: int
    tree: ClusterTree | None
    crops: CropFolder
    index: CropIndex
    cut: int | None = None

    def get(self, path: str) -> Reply | None:
        """See ``raynef.web.naming_server.Get``."""
        if path in _FILES:
            name, kind = _FILES[path]
            file = resources.files("raynef.web").joinpath("naming_files", name)
            return Reply(file.read_bytes(), kind)
        if path == "clusters.json":
            return json_reply(self.clusters())
        if path == "names.json":
            return self._names()
        return self._crop(path)

    def post(self, path: str, value: Any) -> Reply | None:
        """See ``raynef.web.naming_server.Post``.

        ``{"changes": {"3": "sky"}, "seen": {"3": null}}``: new names, and those that they replace,
        as the page shows them. Where they are others by now nothing is changed: status 409, with
        the names that there are.
        """
        if path != "names.json":
            return None
        changes, seen = _named(value, "changes"), _named(value, "seen")
        if not changes or changes.keys() != seen.keys():
            raise UserError("changes and seen must name the same clusters, one at least")
        try:
            names = change_names(self.segmenter, self.num_clusters, changes, seen=seen)
        except NamesChangedError as error:
            there = read_names(self.segmenter, self.num_clusters)
            return json_reply({"error": str(error), **_plain(there)}, status=HTTPStatus.CONFLICT)
        return json_reply(_plain(names))

    def clusters(self) -> dict[str, Any]:
        """What does not change while the page is open."""
        shares = self.shares()
        try:
            settled = read_names(self.segmenter, self.num_clusters).settled()
        except UserError:  # a table that was spoiled by hand, which the page says
            settled = []
        unnamed = shares.copy()
        unnamed[settled] = 0
        if self.tree is None:
            order, merges, heights = np.argsort(-unnamed, kind="stable"), [], []
        else:
            order = self.tree.leaves(unnamed + shares * 1e-6)
            merges, heights = self.tree.merges.tolist(), self.tree.heights.tolist()
        groups = round(self.num_clusters * _GROUPS) if self.cut is None else self.cut
        return {
            "title": self.title,
            "num_clusters": self.num_clusters,
            "num_images": self.index.num_images,
            "shares": shares.tolist(),
            "crops": self.index.counts,
            "order": order.tolist(),
            "merges": merges,
            "heights": heights,
            "groups": min(max(1, groups), self.num_clusters),
            "noise": NOISE,
            "unsure": UNSURE,
        }

    def shares(self) -> np.ndarray:
        """Of the pixels of all images that were looked at, float64 [K]."""
        pixels = np.array(self.index.pixels, dtype=np.float64)
        return pixels / max(1.0, pixels.sum())

    def _names(self) -> Reply:
        try:
            names = read_names(self.segmenter, self.num_clusters)
        except UserError as error:
            return json_reply({"error": str(error)})
        return json_reply(_plain(names))

    def _crop(self, path: str) -> Reply | None:
        found = _CROP.fullmatch(path)
        if not found:
            return None
        file = self.crops.crop(int(found[1]), found[2], int(found[3]))
        try:
            return Reply(file.read_bytes(), "image/jpeg", keep=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error_reply(HTTPStatus.INTERNAL_SERVER_ERROR, f"{file.name}: {error.strerror}")


def _plain(names: Names) -> dict[str, Any]:
    """Names by cluster, and the clusters whose names texts proposed."""
    named = {str(cluster): name for cluster, name in sorted(names.names.items())}
    return {"names": named, "by_text": sorted(names.sources)}


def _named(value: Any, field: str) -> dict[int, str | None]:
    """A field of a request: names, or None, by cluster. Raises UserError: something else."""
    found: Any = value.get(field) if isinstance(value, Mapping) else None
    if not isinstance(found, Mapping):
        raise UserError(f"{field} must be an object of names by cluster")
    for cluster, name in found.items():
        if not (isinstance(cluster, str) and cluster.isdecimal() and len(cluster) < 10):
            raise UserError(f"{field}: a cluster is a number, got {cluster!r}")
        if not (name is None or isinstance(name, str)):
            raise UserError(f"{field}: a name is a text or null, got {name!r}")
    return {int(cluster): name for cluster, name in found.items()}
