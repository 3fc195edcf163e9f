"""The linear probe: how much of the classes a linear layer reads off frozen features.

Supervised, and a diagnostic only: no gradient reaches the features, and no segmenter that is called
label-free holds it.
"""

import numpy as np
import torch
from torch import nn

from raynef.config.recipe import Probe
from raynef.core.draws import generator, torch_seeded
from raynef.core.typed import split
from raynef.eigen.gumbel import cosine_schedule


def fit_probe(rows: np.ndarray, shares: np.ndarray, config: Probe, *, seed: int) -> nn.Linear:
    """Minimize the cross-entropy of a linear layer on patches, with Adam.

    Args:
        rows: features, float32 [M, D].
        shares: of the classes in each patch, float32 [M, C]; a patch without labels has no weight.
        seed: of the initial weights and of the order.
    """
    labeled = shares.sum(axis=1) > 0
    features, targets = torch.as_tensor(rows[labeled]), torch.as_tensor(shares[labeled])
    with torch_seeded("probe", seed):
        linear = nn.Linear(rows.shape[1], shares.shape[1])
    # Features come in any scale: train on standardised ones, and fold the scale in afterwards.
    mean, std = features.mean(dim=0), features.std(dim=0, correction=0).clamp_min(1e-6)
    optimizer = torch.optim.Adam(linear.parameters(), lr=config.lr)
    batches = -(-len(features) // config.batch_size)
    for epoch in range(config.epochs):
        order = torch.as_tensor(generator("probe", seed, epoch).permutation(len(features)))
        for index, batch in enumerate(split(order, config.batch_size)):
            step = epoch * batches + index
            for group in optimizer.param_groups:
                group["lr"] = cosine_schedule(
                    step, config.epochs * batches, start=config.lr, end=0.0
                )
            log_p = linear((features[batch] - mean) / std).log_softmax(dim=1)
            loss = -(targets[batch] * log_p).sum() / targets[batch].sum()
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()  # pyright: ignore[reportUnknownMemberType]
    with torch.no_grad():
        linear.weight.div_(std)
        linear.bias.sub_(linear.weight @ mean)
    return linear
