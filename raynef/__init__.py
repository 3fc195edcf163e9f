"""raynef: unsupervised semantic segmentation with neural eigenfunctions, on Ray.

Rooms, from the ground up: ``core`` (values that cross stages), ``config`` (the recipe), ``io``
(files and places); the stages ``assign``, then ``images``, ``features``, ``graph``, ``eigen``,
``segment`` and ``report``; ``cluster`` (Ray in general); ``models`` (what is trained and kept);
``stores`` (folder formats); ``jobs`` (one file a command); ``sweeps`` (what compares runs); ``ops``
(machine, cost and state); ``demo`` and ``cli``. Each imports only rooms before it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raynef import spectral
    from raynef.config.presets import load_presets
    from raynef.config.recipe import Recipe
    from raynef.jobs.evaluate import evaluate
    from raynef.jobs.extract import extract_store as extract
    from raynef.jobs.predict import predict
    from raynef.jobs.train import train
    from raynef.models.segmenter import Segmenter
    from raynef.sweeps.tune import sweep as tune

__version__ = "0.1.0"
__all__ = [
    "Recipe",
    "Segmenter",
    "__version__",
    "evaluate",
    "extract",
    "load_presets",
    "predict",
    "spectral",
    "train",
    "tune",
]

_FROM = {
    "Recipe": "config.recipe:Recipe",
    "Segmenter": "models.segmenter:Segmenter",
    "evaluate": "jobs.evaluate:evaluate",
    "extract": "jobs.extract:extract_store",
    "load_presets": "config.presets:load_presets",
    "predict": "jobs.predict:predict",
    "spectral": "spectral:",
    "train": "jobs.train:train",
    "tune": "sweeps.tune:sweep",
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
