"""Distillation: a small ViT learns a larger one's patch tokens on unlabeled images.

Teacher and student see the same view; the student's patch tokens after the final norm are
regressed onto the teacher's, standardised per channel. Few images go far when the views are many
and the function is matched for long (Beyer et al., arXiv:2106.05237), so crops are mixed too.

What step s sees depends on (seed, s) alone: a run that is resumed ends where one that was never
stopped does. Teacher and student are timm ViTs with ``pretrained_cfg`` (mean and std).
"""

from raynef.features.distill.config import DistillConfig
from raynef.features.distill.crops import ImageSource
from raynef.features.distill.run import DistillResult, distill

__all__ = ["DistillConfig", "DistillResult", "ImageSource", "distill"]
