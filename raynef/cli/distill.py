"""``raynef distill``: teacher, student and images brought together."""

import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from raynef.cli.arguments import Distill
from raynef.config.recipe import Backbone
from raynef.core.errors import UserError
from raynef.features.backbone import load_backbone
from raynef.features.distill import DistillConfig, ImageSource, distill
from raynef.features.student import create_student
from raynef.images.datasets.folder import open_folder
from raynef.images.decode import read_image


def run(args: Distill) -> dict[str, Any]:
    """Distil ``args.teacher`` into the bundled architecture; the result of the command.

    Raises:
        UserError: a teacher whose tokens do not fit the student, weights or images that are not
            there, or as many shares as there are folders.
    """
    if args.image_shares and len(args.image_shares) != len(args.images):
        raise UserError(
            f"--image-shares needs one share for each of the {len(args.images)} folders, got "
            f"{len(args.image_shares)}"
        )
    shares = args.image_shares or (1.0,) * len(args.images)
    sources = [
        ImageSource(tuple(Path(file.path) for file in open_folder(folder, None).files), share)
        for folder, share in zip(args.images, shares, strict=True)
    ]
    config = Backbone(name=args.teacher, weights=args.teacher_weights)
    backbone = load_backbone(config)
    if backbone.plan.stage is not None:
        raise UserError(
            f"teacher {args.teacher} is no ViT: its blocks differ in width and grid; give one such "
            "as vit_tiny_patch16_224"
        )
    teacher = backbone.model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)  # of the student's own initialisation
    student = create_student()
    if teacher.embed_dim != student.embed_dim:
        raise UserError(
            f"teacher {args.teacher} has {teacher.embed_dim} features a patch, the student "
            f"{student.embed_dim}; give a teacher of that width, such as vit_tiny_patch16_224"
        )
    out = args.out.absolute()
    result = distill(
        teacher.to(device),
        student.to(device),
        sources,
        read_image=read_image,
        config=DistillConfig(
            steps=args.steps,
            minutes=args.minutes,
            batch_size=args.batch_size,
            learning_rate=args.lr,
            seed=args.seed,
        ),
        out=out,
        checkpoint=out.with_suffix(".checkpoint.pt"),
        metadata={
            "teacher": args.teacher,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        },
    )
    return {"out": str(out), **vars(result)}
