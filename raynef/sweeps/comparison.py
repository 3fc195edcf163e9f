"""What a table compares: a YAML file of rows, each a recipe, and the methods that are its columns.

    recipe: folder                  # presets, in order
    set: {train.epochs: 12}         # fields of every row
    columns: [kmeans, ours, ours_star, probe]
    seeds: [0, 1, 2]
    rows:
      - name: MSRC, ViT-Ti, K = 128
        set: {data.root: ../data/msrc, eigen.num_eigenfunctions: 128}

Paths are as seen from the file. A row may have columns and seeds of its own, and ``evaluate``
fields of its own, which the training does not see.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raynef.config.overrides import override
from raynef.config.presets import load_presets
from raynef.config.recipe import Evaluate, Recipe
from raynef.config.yaml_file import read_yaml, require_keys, whole_numbers
from raynef.core.errors import UserError
from raynef.io.storage import is_address
from raynef.sweeps.methods import COLUMNS

PLAN = "compare.json"
"""In the folder of a comparison: every score that was asked for, and the file that holds it."""


@dataclass(frozen=True)
class Row:
    """One row of a table: an explicit point, with its own methods and seeds.

    Attributes:
        name: its title.
        recipe: of its runs, with the default ``evaluate`` section of its presets.
        evaluate: the protocol of its scores.
        seeds: of its runs; the row shows mean ± standard deviation.
        columns: keys of ``METHODS``, in order.
    """

    name: str
    recipe: Recipe
    evaluate: Evaluate
    seeds: tuple[int, ...]
    columns: tuple[str, ...]


def read_comparison(path: str | Path) -> tuple[Row, ...]:
    """The rows of a comparison's file.

    Raises:
        UserError: no such file, or a key, column or value that does not fit, named.
    """
    path, source = Path(path), str(path)
    values = read_yaml(path, source=source)
    require_keys(values, {"recipe", "set", "columns", "seeds", "rows"}, source=source)
    presets = values.get("recipe", "folder")
    base = load_presets([presets] if isinstance(presets, str) else presets)
    base = override(base, values.get("set") or {}, source=source)
    rows = values.get("rows")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{source}: rows must be a list of at least one row, got {rows!r}")
    read = tuple(_row(row, base, values, path, i) for i, row in enumerate(rows, 1))
    for row in read:
        if sum(other.name == row.name for other in read) > 1:
            raise UserError(f"{source}: two rows have the name {row.name!r}")
    return read


def _row(row: Any, base: Recipe, every: dict[str, Any], path: Path, number: int) -> Row:
    """One row, whose columns and seeds are by default those of ``every`` row."""
    source = f"{path}, row {number}"
    require_keys(row, {"name", "set", "evaluate", "seeds", "columns"}, source=source)
    recipe = override(base, row.get("set") or {}, source=source)
    fields = {f"evaluate.{name}": value for name, value in (row.get("evaluate") or {}).items()}
    evaluated = override(recipe, fields, source=source)
    columns = row.get("columns") or every.get("columns") or ["kmeans", "ours", "ours_star"]
    seeds = row.get("seeds", every.get("seeds", [recipe.train.seed]))
    for column in columns:
        if column not in COLUMNS:
            raise UserError(f"{source}: {column!r} is no column; there are {', '.join(COLUMNS)}")
    if not isinstance(row.get("name"), str):
        raise UserError(f"{source}: name must be a text, got {row.get('name')!r}")
    return Row(
        name=row["name"],
        recipe=_from(path.parent, recipe),
        evaluate=evaluated.evaluate,
        seeds=whole_numbers(seeds, "seeds", source=source),
        columns=tuple(columns),
    )


def _from(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with its paths as seen from a folder."""

    def seen(location: str | None) -> str | None:
        if not location or location in ("hub", "bundled") or is_address(location):
            return location
        return str((folder / location).resolve())

    return replace(
        recipe,
        data=replace(recipe.data, root=seen(recipe.data.root)),
        backbone=replace(recipe.backbone, weights=seen(recipe.backbone.weights)),
    )
