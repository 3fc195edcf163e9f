"""Clusters moved to the edges of their image: what a segmenter says, and a CRF after it."""

import numpy as np

from raynef.segment.crf import dense_crf
from raynef.segment.patch_map import PatchMap
from raynef.segment.probabilities import top_probabilities


def sharpened_clusters(
    image: np.ndarray, found: PatchMap, *, num_top: int, temperature: float
) -> np.ndarray:
    """The cluster of each pixel after a dense CRF, int64 [H, W].

    Args:
        image: uint8 [H, W, 3], at the size at which the CRF runs.
        found: its patch logits, on the CPU.
        num_top: clusters that the CRF chooses from, those with the largest mean probability.
        temperature: of the softmax that it starts from.

    Raises:
        UserError: pydensecrf is not installed.
    """
    rows, columns = found.matrices((image.shape[0], image.shape[1]))
    clusters, log_probabilities = top_probabilities(
        found.logits, rows, columns, num_top=num_top, temperature=temperature
    )
    sharpened = dense_crf(image, log_probabilities.numpy())
    return clusters.numpy()[sharpened.argmax(axis=0)]
