"""``raynef doctor``."""

from typing import Annotated, ClassVar

from tyro.conf import arg

from raynef.cli.command import Command, Result


class Doctor(Command):
    """Check this machine, and say what to do about each problem."""

    says_result: ClassVar[bool] = True

    address: Annotated[
        str | None,
        arg(help="Also look at the Ray cluster that lives there ('auto': the local one)."),
    ] = None

    def execute(self) -> Result:
        from raynef.ops.doctor.examine import doctor

        return doctor(address=self.address)
