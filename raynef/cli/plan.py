"""What ``raynef plan`` takes. A plain dataclass: no Ray and no torch is imported here."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any

from tyro.conf import arg

from raynef.config.recipe import Recipe
from raynef.ops.pace import StatedRates


@dataclass(frozen=True)
class Plan:
    """Estimate hours, bytes and limits of a run, from short measurements here or stated rates."""

    presets: Annotated[
        tuple[str, ...],
        arg(
            name="recipe",
            help="Presets or .yaml files, the later over the earlier; flags override them.",
        ),
    ] = ("folder",)
    config: Annotated[Recipe, arg(name="")] = field(default_factory=Recipe)
    images: float | None = None
    """Images that train, such as 1.28e6; counted under --data.root if not given."""
    val_images: float | None = None
    """Images that are scored; counted likewise, or left out of the plan."""
    gpus: int | None = None
    """GPUs of the cluster, one worker on each; this machine as it is if not given."""
    workers: int | None = None
    """Workers that train, if not one on each GPU, or --train.num-workers."""
    cores: int | None = None
    """Cores that decode, of the whole cluster; as many as this machine has for each GPU."""
    rates: StatedRates = field(default_factory=StatedRates)
    """What is known is not measured."""


def run_plan(args: Plan) -> dict[str, Any]:
    """The plan as a result."""
    from raynef.ops.plan import plan

    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    recipe, stated = given.pop("config"), given.pop("rates")
    del given["presets"]
    return plan(recipe, stated=stated, **given)
