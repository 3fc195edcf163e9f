"""What prediction says of all images together: legend, documents of formats, manifest."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.images.datasets.imageset import ImageFile
from raynef.io.files import json_text
from raynef.io.sink import write_bytes, write_made
from raynef.io.storage import join, without_secrets
from raynef.stores.formats.base import Categories, Collected, Entry, json_items, write_parts
from raynef.stores.formats.registry import FormatName, format_of
from raynef.stores.journal import MANIFEST
from raynef.stores.predicted import Record
from raynef.stores.predictions import Predictions


@dataclass(frozen=True)
class Documents:
    """The files about all images.

    Attributes:
        predictions: with a record of each image.
        files: the images, in order.
        categories: what the numbers mean.
        formats: whose documents are written.
    """

    predictions: Predictions
    files: Sequence[ImageFile]
    categories: Categories
    formats: Sequence[FormatName]

    def write(self, legend: dict[str, Any], about: dict[str, Any]) -> None:
        """Write all; ``about`` is what the manifest says besides the images, which is last."""
        out = self.predictions.location
        _write_json(join(out, "legend.json"), legend)
        if self.categories.class_names is not None:
            names = {str(i): name for i, name in enumerate(self.categories.class_names)}
            _write_json(join(out, "classes.json"), names)
        with tempfile.TemporaryDirectory(prefix="raynef-") as scratch:
            for name in self.formats:
                collected = Collected(self.categories, lambda name=name: self._entries(name))
                for path, write in format_of(name).documents.items():
                    write_made(
                        join(out, path),
                        lambda file, write=write, found=collected: write(found, file),
                        Path(scratch),
                    )
            self.predictions.finish(Path(scratch))
            write_made(
                join(out, MANIFEST),
                lambda file: write_parts(file, self._manifest(about)),
                Path(scratch),
            )

    def _entries(self, name: FormatName) -> Iterator[Entry]:
        for file, record in self._records():
            yield Entry(
                name=file.name,
                output=record.output,
                source=without_secrets(file.path),
                width=record.width,
                height=record.height,
                own=record.entries.get(name),
            )

    def _records(self) -> Iterator[tuple[ImageFile, Record]]:
        for file in self.files:
            record = self.predictions.records.get(file.name)
            if record is not None:
                yield file, record

    def _manifest(self, about: dict[str, Any]) -> Iterator[str]:
        """Its parts, an image a line."""
        images = (
            {
                "name": file.name,
                "source": without_secrets(file.path),
                "width": record.width,
                "height": record.height,
                **{path.partition("/")[0]: path for path in record.files},
            }
            for file, record in self._records()
        )
        head = json_text(about, indent=2).removesuffix("\n}")
        yield f'{head},\n  "images": ['
        yield from json_items(images)
        yield "\n  ]\n}\n"


def _write_json(location: str, value: Any) -> None:
    write_bytes(location, (json_text(value, indent=2) + "\n").encode())
