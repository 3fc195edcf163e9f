"""Loggers by name: what is asked for, and what is refused before anything is trained."""

import sys
from types import SimpleNamespace

import pytest

from raynef.core.errors import UserError
from raynef.io.loggers.choice import Loggers, loggers


@pytest.fixture
def all_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    monkeypatch.setattr("raynef.io.loggers.to_wandb.require_key", lambda: None)


@pytest.mark.parametrize(
    ("names", "places", "found"),
    [
        ("tensorboard", {}, ("tensorboard",)),
        (("tensorboard", "mlflow", "tensorboard"), {}, ("tensorboard", "mlflow")),
        ("tensorboard", {"wandb": "cells"}, ("tensorboard", "wandb")),
        ("mlflow", {"mlflow": "http://server"}, ("mlflow",)),
        ("none", {}, ()),
        ((), {}, ()),
    ],
)
def test_those_named_and_those_with_a_place(all_installed, names, places, found):
    chosen = loggers(names, **places)
    assert chosen == Loggers(found, places.get("mlflow"), places.get("wandb"))
    assert chosen.place("wandb") == places.get("wandb")
    assert chosen.place("tensorboard") is None


@pytest.mark.parametrize(
    ("names", "places", "message"),
    [
        ("tensorbord", {}, "no logger 'tensorbord'; choose from tensorboard, wandb, mlflow, none"),
        (("none", "wandb"), {}, "none contradicts wandb"),
        ("none", {"mlflow": "http://server"}, "none contradicts mlflow"),
    ],
)
def test_mistakes_are_named(all_installed, names, places, message):
    with pytest.raises(UserError, match=message):
        loggers(names, **places)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_names_what_installs_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"logger {name} .*: pip install 'raynef\[{name}\]'"):
        loggers(name)


@pytest.mark.parametrize(("mode", "key", "asks"), [(None, False, True), (None, True, False)])
def test_a_missing_key_of_wandb_is_said_at_once(mode, key, asks, monkeypatch):
    def login(*, prompt: bool, verify: bool) -> bool:
        assert (prompt, verify) == (False, False)
        return key

    settings = SimpleNamespace(mode=mode)
    fake = SimpleNamespace(setup=lambda: SimpleNamespace(settings=settings), login=login)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    monkeypatch.setitem(sys.modules, "wandb", fake)
    if asks:
        with pytest.raises(UserError, match=r"no API key: run wandb login.*WANDB_MODE=offline"):
            loggers("wandb")
        settings.mode = "offline"
    assert loggers("wandb").names == ("wandb",)
