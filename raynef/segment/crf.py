"""Dense CRF: clusters that follow the image's edges (Krähenbühl and Koltun, NeurIPS 2011).

Mean-field inference with Potts potentials of two Gaussian kernels, one on positions and one on
positions and colors, by the package pydensecrf.
"""

import importlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raynef.core.errors import UserError

Temperature = float | Literal["gap"]
"""Of the softmax that a CRF starts from. ``gap``: the image's own (``sharpened.gap_of``)."""


@dataclass(frozen=True)
class Potentials:
    """Strength and reach of the two kernels; the defaults are arXiv:2304.02841's code's."""

    gaussian_sxy: float = 1.0  # reach of the first kernel, in pixels
    gaussian_weight: float = 3.0
    bilateral_sxy: float = 67.0  # reach of the second kernel, in pixels …
    bilateral_srgb: float = 3.0  # … and in steps of a color channel, 0 to 255
    bilateral_weight: float = 4.0
    iterations: int = 10  # of mean-field inference


def require_crf() -> None:
    """Raise UserError where the package that infers is not installed: before any work is done."""
    if not has_crf():
        raise UserError(
            "a CRF needs the package pydensecrf2, which is compiled when it is installed: "
            "pip install 'raynef[crf]', with a C++ compiler and a Python below 3.13; or do without "
            "one, by --evaluate.crf False, spectral object --no-crf, or predict without --crf"
        )


def has_crf() -> bool:
    """Whether the package that infers can be imported."""
    try:
        importlib.import_module("pydensecrf.densecrf")
    except ImportError:
        return False
    return True


def dense_crf(
    image: np.ndarray, log_probabilities: np.ndarray, potentials: Potentials | None = None
) -> np.ndarray:
    """Probabilities of the labels after inference, float32 [m, H, W].

    Args:
        image: uint8 [H, W, 3]. Of any other type it is refused: colors in [0, 1] would be read
            as black.
        log_probabilities: of m labels before inference, [m, H, W]; they need not sum to 1.

    Raises:
        UserError: pydensecrf is not installed.
    """
    num_labels, *size = log_probabilities.shape
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(
            f"image must be uint8 [H, W, 3] = {[*size, 3]} as the probabilities, got "
            f"{image.dtype} {list(image.shape)}"
        )
    require_crf()
    from pydensecrf.densecrf import DenseCRF2D

    if num_labels == 1:
        return np.ones((1, *size), dtype=np.float32)
    own = potentials or Potentials()
    crf = DenseCRF2D(size[1], size[0], num_labels)
    energies = -np.asarray(log_probabilities, dtype=np.float32).reshape(num_labels, -1)
    crf.setUnaryEnergy(np.ascontiguousarray(energies))
    crf.addPairwiseGaussian(sxy=own.gaussian_sxy, compat=own.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=own.bilateral_sxy,
        srgb=own.bilateral_srgb,
        rgbim=np.array(image, order="C"),  # it refuses an array that may not be written
        compat=own.bilateral_weight,
    )
    return np.array(crf.inference(own.iterations)).reshape(num_labels, *size)
