"""raynef: unsupervised semantic segmentation with neural eigenfunctions, on Ray.

Rooms, from the ground up: ``core`` (values that cross stages), ``config`` (the recipe), ``io``
(files and places); the stages ``assign``, then ``images``, ``features``, ``graph``, ``eigen``,
``segment`` and ``report``; ``cluster`` (Ray in general); ``models`` (what is trained and kept);
``stores`` (folder formats); ``jobs`` (one file a command); ``sweeps`` (what compares runs); ``ops``
(machine, cost and state); ``demo`` and ``cli``. Each imports only rooms before it. ``api`` has the
functions that this module shows.
"""

import importlib
import os
from typing import TYPE_CHECKING

if "OMP_WAIT_POLICY" not in os.environ:
    # Read when torch is first imported, and by Ray's workers. By default threads of GNU OpenMP spin
    # for long while they wait for one another, and take the cores from what runs beside them.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

if TYPE_CHECKING:
    from raynef import spectral
    from raynef.api import Run, evaluate, export, name, predict, recipe_of, train, tune
    from raynef.config.presets import load_presets
    from raynef.config.recipe import Recipe
    from raynef.jobs.extract import extract_store as extract
    from raynef.models.segmenter import Segmenter

__version__ = "0.1.0"
__all__ = [
    "Recipe",
    "Run",
    "Segmenter",
    "__version__",
    "evaluate",
    "export",
    "extract",
    "load_presets",
    "name",
    "predict",
    "recipe_of",
    "spectral",
    "train",
    "tune",
]

_FROM = {
    "Recipe": "config.recipe:Recipe",
    "Run": "api:Run",
    "Segmenter": "models.segmenter:Segmenter",
    "evaluate": "api:evaluate",
    "export": "api:export",
    "extract": "jobs.extract:extract_store",
    "load_presets": "config.presets:load_presets",
    "name": "api:name",
    "predict": "api:predict",
    "recipe_of": "api:recipe_of",
    "spectral": "spectral:",
    "train": "api:train",
    "tune": "api:tune",
}
"""Where each public name comes from. Torch and Ray are imported only with what needs them."""


def __getattr__(name: str) -> object:
    if name not in _FROM:
        raise AttributeError(f"module 'raynef' has no attribute {name!r}")
    module, _, attribute = _FROM[name].partition(":")
    found = importlib.import_module(f"raynef.{module}")
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted(__all__)
