"""The whole line on a sample that needs no download: scenes rendered here, the bundled backbone."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from raynef.cluster.session import shared_session
from raynef.config.recipe import Recipe
from raynef.demo.scenes import write_scenes
from raynef.io.holds import holds
from raynef.jobs.evaluate import evaluate
from raynef.jobs.predict import predict
from raynef.jobs.report import write_report
from raynef.jobs.train import train

logger = logging.getLogger("raynef")


@holds(made=("out",))
def demo(recipe: Recipe, out: str | Path, *, num_train: int, num_val: int) -> dict[str, Any]:
    """Render, train, evaluate, segment, report; the result of ``raynef demo``.

    Writes OUT/sample, OUT/demo (the run) and OUT/segments.
    """
    out = Path(out).absolute()
    sample = out / "sample"
    logger.info("rendering %d scenes into %s", num_train + num_val, sample)
    write_scenes(sample, num_train=num_train, num_val=num_val, seed=recipe.train.seed)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, root=str(sample)))
    run = out / "demo"
    with shared_session():
        trained = train(recipe, run)
        scores = evaluate(run)
        names = (sample / "val.txt").read_text(encoding="utf-8").split()
        predict(run, sample / "images" / f"{names[0]}.jpg", out / "segments")
    page = write_report(run)
    return {
        **{name: scores[name] for name in ("miou", "accuracy", "num_images", "per_class_iou")},
        "images_per_second": trained["images_per_second"],
        "run": str(run),
        "segments": str(out / "segments"),
        "report": page["report"],
    }
