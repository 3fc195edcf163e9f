"""``raynef distill``: teacher, student and images brought together."""

import shlex
import sys
from pathlib import Path

from raynef.cli.command import Command, Result
from raynef.config.recipe import Backbone
from raynef.core.errors import UserError


class Distill(Command):
    """Distill a larger ViT's patch tokens into the small bundled one, on images without labels."""

    teacher: str
    """timm name of the teacher."""
    teacher_weights: str
    """Its weights: a .safetensors or .pt file, or 'hub'."""
    images: tuple[Path, ...]
    """Folders of images, without labels."""
    out: Path
    """The student's weights, a .safetensors file; a checkpoint beside it resumes."""
    image_shares: tuple[float, ...] = ()
    """Share of the crops from each folder; equal by default."""
    minutes: float | None = None
    """Length of the training in minutes of wall time, or …"""
    steps: int | None = None
    """… in steps."""
    batch_size: int = 8
    """Crops a step."""
    lr: float = 1.5e-3
    """Largest learning rate."""
    seed: int = 0
    """Seed of weights, crops and order."""

    def execute(self) -> Result:
        """Distill the teacher into the bundled architecture.

        Raises:
            UserError: a teacher whose tokens do not fit the student, weights or images that are not
                there, or as many shares as there are folders.
        """
        import torch

        from raynef.cluster.devices import device_here
        from raynef.features.backbone import load_backbone
        from raynef.features.distill import DistillConfig, ImageSource, distill
        from raynef.features.student import create_student
        from raynef.images.datasets.folder import open_folder
        from raynef.images.decode import read_image

        if self.image_shares and len(self.image_shares) != len(self.images):
            raise UserError(
                f"--image-shares needs one share for each of the {len(self.images)} folders, got "
                f"{len(self.image_shares)}"
            )
        shares = self.image_shares or (1.0,) * len(self.images)
        sources = [
            ImageSource(tuple(Path(file.path) for file in open_folder(folder, None).files), share)
            for folder, share in zip(self.images, shares, strict=True)
        ]
        config = Backbone(name=self.teacher, weights=self.teacher_weights)
        backbone = load_backbone(config)
        if backbone.plan.stage is not None:
            raise UserError(
                f"teacher {self.teacher} is no ViT: its blocks differ in width and grid; give one "
                "such as vit_tiny_patch16_224"
            )
        teacher = backbone.model
        device = device_here()
        torch.manual_seed(self.seed)  # of the student's own initialization
        student = create_student()
        if teacher.embed_dim != student.embed_dim:
            raise UserError(
                f"teacher {self.teacher} has {teacher.embed_dim} features a patch, the student "
                f"{student.embed_dim}; give a teacher of that width, such as vit_tiny_patch16_224"
            )
        out = self.out.absolute()
        result = distill(
            teacher.to(device),
            student.to(device),
            sources,
            read_image=read_image,
            config=DistillConfig(
                steps=self.steps,
                minutes=self.minutes,
                batch_size=self.batch_size,
                learning_rate=self.lr,
                seed=self.seed,
            ),
            out=out,
            checkpoint=out.with_suffix(".checkpoint.pt"),
            metadata={
                "teacher": self.teacher,
                "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            },
        )
        return {"out": str(out), **vars(result)}
