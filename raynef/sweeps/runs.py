"""Runs of methods, made and scored once and found again: what ``tune`` and ``compare`` share."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from raynef.config.recipe import Recipe, to_dict
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json
from raynef.jobs.evaluate import evaluate
from raynef.jobs.spectral.eigen import claim
from raynef.stores.run import RunFolder, git_commit
from raynef.sweeps.methods import CRF, METHODS, Method, job_of
from raynef.sweeps.shared import make_eigenpairs
from raynef.sweeps.state import RunScore
from raynef.sweeps.sweep import Trial, score_key

_SCORES = ("miou", "accuracy")


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
        values = {**{name: result[name] for name in _SCORES}, **after}
        commit = RunFolder(run).record().environment.get("git_commit")
        data, protocol = plain["data"], plain["evaluate"]
        found = RunScore(values, result["num_images"], commit, data, protocol)
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


def spectral_scores(
    trial: Trial, folder: Path, out: Path, *, num_eigenvectors: int = 0
) -> list[RunScore]:
    """The score of every method of a spectral trial, each found in its STORE or made.

    ``folder`` is the trial's, whose run/JOB/ is a STORE that points to shared eigenpairs;
    ``train.seed`` of its recipe is of K-means. Raises UserError as the methods, or where one has no
    score on the data set.
    """
    recipe, (scored,) = trial.recipe, trial.scores
    features, pairs = make_eigenpairs(recipe, out, num_eigenvectors=num_eigenvectors)
    plain, scores = to_dict(scored), []
    for name in trial.methods:
        method = METHODS[name]
        run = folder / "run" / method.part
        claim(recipe, run, features=features, pairs=pairs)
        found = _found(method, run)
        if found is None:
            found = job_of(method.job)(run, **method.options(recipe, trial.methods))
        values = {metric: found[f"{metric}{method.suffix}"] for metric in method.metrics}
        if None in values.values():
            raise UserError(f"{name} has no score on {recipe.data.name}: see {run}")
        num_images = found.get("num_scored", found["num_images"])
        made = RunScore(values, num_images, git_commit(), plain["data"], plain["evaluate"])
        place = str(run.relative_to(folder))
        scores.append(replace(made, method=name, score=score_key(scored), run=place))
    return scores


def _found(method: Method, run: Path) -> dict[str, Any] | None:
    """What an earlier try came to; its page is written last."""
    if not (run / f"{method.page}.html").is_file():
        return None
    found = read_json(run / f"{method.page}.json")
    return found if all(f"{metric}{method.suffix}" in found for metric in method.metrics) else None
