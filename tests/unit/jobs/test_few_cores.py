"""Which jobs do without Ray on a few cores; ``tests/unit/cluster`` says up to how many images."""

import pytest

from raynef.config.recipe import Recipe
from raynef.jobs import baseline as baseline_module
from raynef.jobs import evaluate as evaluate_module
from raynef.jobs import extract as extract_module
from raynef.jobs import train as train_module
from raynef.jobs.evaluate import evaluate
from raynef.jobs.extract import extract_store
from raynef.jobs.kmeans import kmeans
from raynef.jobs.train import train
from tests.tiny import change


class AskedError(Exception):
    """A session was asked for, with these words."""


@pytest.fixture
def asked(monkeypatch):
    """asked(job, *arguments): how the job asks for its session."""

    def refuse(address, **words):
        raise AskedError(words)

    for module in (baseline_module, evaluate_module, extract_module, train_module):
        monkeypatch.setattr(module, "ray_session", refuse)

    def ask(job, *arguments, **named):
        with pytest.raises(AskedError) as raised:
            job(*arguments, **named)
        return raised.value.args[0]

    return ask


@pytest.mark.parametrize("job", [extract_store, train, kmeans])
def test_jobs_of_networks(asked, recipe: Recipe, tmp_path, job):
    found = asked(job, recipe, tmp_path / "out")
    assert (found["images"], found["network_bound"]) == (10, True)


@pytest.mark.parametrize("crf", [False, True])
def test_an_evaluation_unless_processes_share_its_crf(asked, recipe, run_here, crf):
    found = asked(evaluate, run_here[0], recipe=change(recipe, evaluate={"crf": crf}))
    assert (found["images"], found["network_bound"]) == (4, not crf)
