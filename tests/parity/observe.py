"""What a command left in its folder, as plain values: exact numbers, and digests of arrays.

Left out, or replaced by a word: times and rates, dates, the commit and the machine. Pages count
by their parts and logs by being there, for their text may change.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_VOLATILE = frozenset(
    {
        "seconds", "seconds_by_part", "step_seconds", "images_per_second", "rate", "eta_s",
        "time", "started", "commit", "environment", "machine", "versions", "host", "pid",
        "num_bytes", "log", "found", "advice", "verdict", "training_seconds", "minutes",
    }
)  # fmt: skip
"""Keys whose values differ from run to run."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d[ _T]\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?|\d{4}-\d\d-\d\d")
_COMMIT = re.compile(r"\b[0-9a-f]{7,40}(-dirty)?\b(?=[;,. ]|$)")
_SKIPPED_FOLDERS = frozenset(
    {"tune", "checkpoints", "tensorboard", "loggers", "sample", "__pycache__"}
)
_SKIPPED_FILES = frozenset({".lock", "verified.json", "standing.json", "state.json"})
"""Folders of Ray's, Optuna's and loggers' own, and files that tell where a job stands."""
_LONGEST = 24
"""Longer lists are kept as their length and a digest."""


def observe(folder: Path) -> dict[str, Any]:
    """Relative path to what is in it, for every file of a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if _SKIPPED_FOLDERS & set(inner.parts) or path.name in _SKIPPED_FILES:
            continue
        if path.is_file() and not path.is_symlink():
            found[_DATE.sub("DATE", str(inner))] = _content(path, folder)
    return found


def plain(value: Any, folder: Path) -> Any:
    """A JSON value without what differs from run to run; paths are as seen from the folder."""
    if isinstance(value, dict):
        return {
            plain(key, folder): "…" if key in _VOLATILE else plain(item, folder)
            for key, item in sorted(value.items())
        }
    if isinstance(value, list):
        items = [plain(item, folder) for item in value]
        return items if len(items) <= _LONGEST else f"{len(items)} items, {_digest_json(items)}"
    if isinstance(value, str):
        return _DATE.sub("DATE", value.replace(str(folder), "."))
    return value


def _content(path: Path, folder: Path) -> Any:
    kind = path.suffix
    if kind == ".json":
        return plain(json.loads(path.read_text(encoding="utf-8")), folder)
    if kind == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines()
        if path.name == "shards.jsonl":
            lines.sort()  # they are written as they are done
        return plain([json.loads(line) for line in lines], folder)
    if kind == ".parquet":
        return _digest_table(path)
    if kind == ".safetensors":
        return _digest_tensors(path)
    if kind in (".npy", ".npz"):
        return _digest(path.read_bytes())
    if kind in (".png", ".jpg"):
        image = Image.open(path)
        return f"{image.mode} {image.width}×{image.height} {_digest(np.asarray(image).tobytes())}"
    if kind == ".html":
        text = path.read_text(encoding="utf-8")
        return {tag: len(re.findall(rf"<{tag}\b", text)) for tag in ("img", "svg", "table", "tr")}
    if kind in (".md", ".csv", ".tex"):
        text = _DATE.sub("DATE", path.read_text(encoding="utf-8"))
        return _COMMIT.sub("COMMIT", text).splitlines()
    return "there"


def _digest_tensors(path: Path) -> str:
    """Of names and values, whatever the file says besides."""
    from safetensors.numpy import load_file

    parts = [
        f"{name} {t.dtype} {t.shape}".encode() + t.tobytes() for name, t in load_file(path).items()
    ]
    return f"{len(parts)} tensors, {_digest(b''.join(sorted(parts)))}"


def _digest_table(path: Path) -> str:
    """Of an Arrow table's values and types, whatever the file around them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path).combine_chunks().replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return f"{table.num_rows} rows, {_digest(sink.getvalue().to_pybytes())}"


def _digest_json(value: Any) -> str:
    return _digest(json.dumps(value, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
