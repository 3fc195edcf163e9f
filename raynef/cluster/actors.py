"""The pool of actors that hold a backbone, as it is asked for; ``session`` lays it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from raynef.config.sections import AskedPrecision
from raynef.features.precision import Precision, backbone_precision


@dataclass(frozen=True)
class FeatureActors:
    """How the pool of actors that hold a backbone is laid out."""

    count: int
    num_cpus: float  # that each reserves of Ray's resources
    num_gpus: float
    threads: int  # of torch in each
    resources: Mapping[str, float] = field(default_factory=dict)  # custom: on which nodes
    on_mps: bool = False  # the only one, in this process, on its Apple GPU
    elsewhere: bool = False  # on other machines too, whose processors are not known here

    @property
    def device(self) -> str:
        """Where each holds its model."""
        return "cuda" if self.num_gpus else "mps" if self.on_mps else "cpu"

    def precision(self, asked: AskedPrecision = "auto") -> Precision:
        """In which they all compute features, by ``backbone.precision``."""
        if self.elsewhere and self.device == "cpu":
            return "bfloat16" if asked == "bfloat16" else "float32"
        return backbone_precision(asked, torch.device(self.device))
