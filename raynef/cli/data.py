"""``raynef data check``."""

from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import arg

from raynef.cli.command import JobCommand, Positional, Result
from raynef.config.recipe import Data
from raynef.io.storage import absolute


class DataCheck(JobCommand):
    """Say what a data set holds, and what is wrong with it, before hours are spent."""

    says_result: ClassVar[bool] = True

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

    def execute(self) -> Result:
        from raynef.jobs.check import check_data

        fields: dict[str, Any] = self.arguments() | {"root": absolute(self.root)}
        del fields["address"]
        return check_data(Data(**fields), address=self.address)
