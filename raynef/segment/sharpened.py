"""Clusters moved to the edges of their image: what a segmenter says, and a CRF after it."""

import numpy as np
from torch import Tensor

from raynef.segment.crf import Temperature, dense_crf
from raynef.segment.patch_map import PatchMap
from raynef.segment.probabilities import top_probabilities


def gap_of(logits: Tensor) -> float:
    """The median over patches of the largest logit less the second, of [..., K].

    Scores such as K-means' 2 c·h − ‖c‖² have the scale of the features, and their softmax is sure
    of everything. Over this gap half of the patches of an image are surer of their cluster than
    e : 1, whatever the scale. 1 where there is no gap.
    """
    if logits.shape[-1] < 2:
        return 1.0
    best = logits.float().topk(2, dim=-1).values
    return float((best[..., 0] - best[..., 1]).median()) or 1.0


def sharpened_clusters(
    image: np.ndarray, found: PatchMap, *, num_top: int, temperature: Temperature
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
    if temperature == "gap":
        temperature = gap_of(found.logits)
    rows, columns = found.matrices((image.shape[0], image.shape[1]))
    clusters, log_probabilities = top_probabilities(
        found.logits, rows, columns, num_top=num_top, temperature=temperature
    )
    sharpened = dense_crf(image, log_probabilities.numpy())
    return clusters.numpy()[sharpened.argmax(axis=0)]
