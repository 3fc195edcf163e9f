"""Runs of methods, made and scored once and found again: what ``tune`` and ``compare`` share."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from raynef.config.recipe import Recipe, fingerprint, to_dict
from raynef.core.errors import UserError
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json, write_json
from raynef.jobs.evaluate import evaluate
from raynef.stores.features import store_key
from raynef.stores.run import RunFolder
from raynef.sweeps.methods import CRF, METHODS, job_of
from raynef.sweeps.state import RunScore
from raynef.sweeps.sweep import Trial, score_key

_SCORES = ("miou", "accuracy")


def store_of(out: Path, recipe: Recipe) -> Path:
    """The feature store of a recipe below ``out``: recipes with equal features share it."""
    images = open_split(recipe.data, recipe.data.train_split)
    return out / "features" / fingerprint(store_key(recipe, images))


def with_store(recipe: Recipe, out: Path) -> Recipe:
    """The recipe on the feature store that it shares below ``out``."""
    return replace(recipe, train=replace(recipe.train, store=str(store_of(out, recipe))))


def make(method: str, recipe: Recipe, folder: Path, **training: Any) -> Path:
    """The run of a method that is not spectral, found or made.

    Args:
        method: a key of ``METHODS``.
        recipe: as the method sees it.
        folder: of the run that the method is, or that it builds upon.
        training: arguments of ``train`` besides.

    Raises:
        UserError: it was found, made of other images than there are now; or as what makes it.
    """
    made = METHODS[method]
    result = job_of(made.job)(recipe, folder, **training)
    if "input_changed" in result:
        raise UserError(
            f"{folder} was made of other images: {result['input_changed']['in_words']}. A table is "
            "of one set of them: delete that folder, or give another --out"
        )
    if made.upon:
        job_of(made.upon)(folder, folder / made.part)
    return folder / made.part


def score_file(run: Path, recipe: Recipe) -> Path:
    """Where ``score`` keeps the score of a run by the recipe's protocol."""
    return run / f"score-{score_key(recipe)}.json"


def score(run: Path, recipe: Recipe, *, kept: Path | None = None) -> RunScore:
    """The score of a finished run, found in its folder or made; after a CRF too if it has one.

    The recipe's ``data`` and ``evaluate`` sections score it; ``kept`` is a folder where the
    backbone's outputs are kept for other runs.
    """
    file = score_file(run, recipe)
    found = RunScore.read(read_json(file)) if file.is_file() else None
    if found is None or (recipe.evaluate.crf and f"miou{CRF}" not in found.values):
        result = evaluate(run, recipe=recipe, kept=kept)
        after = {f"{name}{CRF}": result["crf"][name] for name in _SCORES if recipe.evaluate.crf}
        plain = to_dict(recipe)
        found = RunScore(
            {**{name: result[name] for name in _SCORES}, **after},
            result["num_images"],
            RunFolder(run).record()["environment"].get("git_commit"),
            plain["data"],
            plain["evaluate"],
        )
        write_json(file, found.plain())
    return found


def make_and_score(
    trial: Trial, recipe: Recipe, folder: Path, *, kept: Path | None = None, **training: Any
) -> list[RunScore]:
    """Every score of every method of a trial, whose run is in ``folder``; see ``make``, ``score``.

    ``recipe`` is the trial's, with its feature store.
    """
    scores = []
    for method in trial.methods:
        run = make(method, recipe, folder, **training)
        for scored in trial.scores:
            found = score(
                run, replace(recipe, data=scored.data, evaluate=scored.evaluate), kept=kept
            )
            run_name = str(run.relative_to(folder.parent))
            scores.append(replace(found, method=method, score=score_key(scored), run=run_name))
    return scores
