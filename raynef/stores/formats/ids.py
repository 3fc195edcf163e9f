"""``ids/*.png``: cluster ids as gray values of 16 bits, whatever their number."""

from raynef.stores.formats.base import Categories, Format, Labeled
from raynef.stores.label_files import encode_labels


def _files(found: Labeled, _: Categories) -> dict[str, bytes]:
    return {f"ids/{found.output}": encode_labels(found.clusters, wide=True)}


FORMAT = Format(files=_files)
