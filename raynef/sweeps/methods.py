"""The methods that a table compares, each made and scored once, and found again afterwards."""

from pathlib import Path
from typing import Any

from raynef.config.recipe import Recipe, to_dict
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json
from raynef.jobs.baseline import kmeans, kmeans_psi, probe, probe_psi
from raynef.jobs.evaluate import evaluate
from raynef.jobs.train import train
from raynef.stores.run import RunFolder
from raynef.sweeps.catalog import CRF
from raynef.sweeps.sweep import score_key

_SCORES = ("miou", "accuracy")


def make(method: str, recipe: Recipe, folder: Path, **training: Any) -> Path:
    """The run of a method, found or made.

    Args:
        method: a key of ``COLUMNS``.
        recipe: of the run; ``train.leak_labels`` as the method needs it.
        folder: of the run that the method is, or that it builds upon.
        training: arguments of ``train`` besides.

    Raises:
        UserError: it was found, made of other images than there are now; or as what makes it.
    """
    if method in ("kmeans", "probe"):
        job = kmeans if method == "kmeans" else probe
        _require_same_images(job(recipe, folder), folder)
        return folder
    _require_same_images(train(recipe, folder, **training), folder)
    run = run_of(method, folder)
    if method == "probe_psi":
        probe_psi(folder, run)
    elif method in ("ours_star", "leaked_star"):
        kmeans_psi(folder, run)
    return run


def _require_same_images(result: dict[str, Any], folder: Path) -> None:
    """Raise UserError where a run was found again that is of other images than there are now."""
    if "input_changed" in result:
        raise UserError(
            f"{folder} was made of other images: {result['input_changed']['in_words']}. A table is "
            "of one set of them: delete that folder, or give another --out"
        )


def run_of(method: str, folder: Path) -> Path:
    """Where ``make`` makes the run of a method."""
    if method == "probe_psi":
        return folder / "probe-psi"
    return folder / "kmeans-psi" if method in ("ours_star", "leaked_star") else folder


def score_file(run: Path, recipe: Recipe) -> Path:
    """Where ``score`` keeps the score of a run by the recipe's protocol."""
    return run / f"score-{score_key(recipe)}.json"


def score(run: Path, recipe: Recipe, *, kept: Path | None = None) -> dict[str, Any]:
    """The score of a run by a protocol, found in its folder or made; after a CRF too if it has one.

    Args:
        run: finished.
        recipe: whose ``data`` and ``evaluate`` sections score it.
        kept: folder where the backbone's outputs are kept for other runs.
    """
    file = score_file(run, recipe)
    found = read_json(file) if file.is_file() else None
    if found is None or (recipe.evaluate.crf and f"miou{CRF}" not in found):
        result = evaluate(run, recipe=recipe, kept=kept)
        after = {f"{name}{CRF}": result["crf"][name] for name in _SCORES if recipe.evaluate.crf}
        values = to_dict(recipe)
        write_json(
            file,
            {
                **{name: result[name] for name in _SCORES},
                **after,
                "num_images": result["num_images"],
                "commit": RunFolder(run).record().environment.get("git_commit"),
                "data": values["data"],
                "evaluate": values["evaluate"],
            },
        )
    return read_json(file)
