"""The pool of actors that hold a backbone, as it is asked for; ``session`` lays it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from raynef.features.precision import Precision, usual_precision


@dataclass(frozen=True)
class FeatureActors:
    """How the pool of actors that hold a backbone is laid out."""

    count: int
    num_cpus: float  # that each reserves of Ray's resources
    num_gpus: float
    threads: int  # of torch in each
    resources: Mapping[str, float] = field(default_factory=dict)  # custom: on which nodes
    on_mps: bool = False  # the only one, in this process, on its Apple GPU

    @property
    def device(self) -> str:
        """Where each holds its model."""
        return "cuda" if self.num_gpus else "mps" if self.on_mps else "cpu"

    @property
    def precision(self) -> Precision:
        """In which they compute features, where nothing else is asked of them."""
        return usual_precision(torch.device(self.device))
