"""``raynef data check``."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from raynef.cli.command import Address, Command
from raynef.config.recipe import Data
from raynef.io.storage import absolute


@dataclass(frozen=True, kw_only=True)
class DataCheck(Command):
    """Say what a data set holds, and what is wrong with it, before hours are spent."""

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Data set: folder, or one of the benchmarks, as in --data.name."""
    root: Annotated[str, arg(name="data.root")]
    """Its folder, or an address that Arrow opens, such as s3://bucket/folder."""
    train_split: Annotated[str, arg(name="data.train-split")] = Data.train_split
    """Split that trains."""
    val_split: Annotated[str, arg(name="data.val-split")] = Data.val_split
    """Split that is evaluated."""
    max_bad_fraction: Annotated[float, arg(name="data.max-bad-fraction")] = Data.max_bad_fraction
    """Share of unreadable images that are no reason to fail (one never is)."""
    label_orientation: Annotated[
        Literal["auto", "stored", "upright"],
        arg(name="data.label-orientation", help="As of raynef train."),
    ] = Data.label_orientation
    address: Address = None

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.check import check_data

        data = Data(
            name=self.name,
            root=absolute(self.root),
            train_split=self.train_split,
            val_split=self.val_split,
            max_bad_fraction=self.max_bad_fraction,
            label_orientation=self.label_orientation,
        )
        return check_data(data, address=self.address)
