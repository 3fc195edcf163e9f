"""Faults of raynef/runtime/spectral: Deep Spectral Methods from eigenpairs to tables."""

from tests.mutants.mutant import Mutant

_SPECTRAL = ("tests/runtime/spectral",)
_FOLDER = "raynef/runtime/spectral"

MUTANTS = (
    Mutant(
        "object-not-refined",
        f"{_FOLDER}/objects.py",
        "return dense_crf(image, np.log(certain), POTENTIALS).argmax(axis=0).astype(bool)",
        "return mask",
        _SPECTRAL,
        "object masks follow the image's edges (Table 3)",
    ),
    Mutant(
        "background-is-cluster-1",
        f"{_FOLDER}/semantic.py",
        "labels[segments.background] = 0",
        "labels[segments.background] = 1",
        _SPECTRAL,
        "the background has a label of its own",
    ),
    Mutant(
        "cluster-patch-not-sampled",
        f"{_FOLDER}/semantic.py",
        "share = min(1.0, recipe.kmeans.max_points / patches)",
        "share = 1.0",
        _SPECTRAL,
        "cluster-patch clusters a uniform sample of all patches (Table 4)",
    ),
    Mutant(
        "cluster-seg-one-mean",
        f"{_FOLDER}/segments.py",
        "values[segments == s].mean(axis=0)",
        "values.mean(axis=(0, 1))",
        _SPECTRAL,
        "each segment of cluster-seg has its own mean (Table 4)",
    ),
    Mutant(
        "selftrain-rate-constant",
        f"{_FOLDER}/selftrain.py",
        "rate = settings.lr * (1 - step / settings.steps)",
        "rate = settings.lr",
        _SPECTRAL,
        "self-training's rate falls linearly",
    ),
)
