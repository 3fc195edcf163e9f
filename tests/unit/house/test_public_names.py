"""The names that ``import raynef`` shows: all there, none loaded before it is asked for."""

import subprocess
import sys

import pytest

import raynef


def test_dir_shows_the_public_names_alone():
    assert set(dir(raynef)) == set(raynef.__all__)


@pytest.mark.parametrize("name", [n for n in raynef.__all__ if n != "__version__"])
def test_each_is_there_and_says_what_it_is(name):
    assert getattr(raynef, name).__doc__


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        raynef.fly  # noqa: B018


def test_import_loads_neither_torch_nor_ray():
    source = "import sys, raynef; dir(raynef); print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_spectral_has_what_its_commands_run():
    for name in raynef.spectral.__all__:
        assert callable(getattr(raynef.spectral, name))
