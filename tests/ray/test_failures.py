"""Which failures of workers are worth another try."""

from pathlib import Path

import pytest

from raynef.cluster.causes import cause_within
from raynef.cluster.fit import Spread, fit
from raynef.core.errors import UserError


def refuse(config, worker):
    """A loop that ends as by a store that is gone."""
    with Path(config["tries"]).open("a") as file:
        file.write("try\n")
    raise UserError("the store is gone")


@pytest.mark.slow
def test_a_mistake_in_a_worker_is_said_after_one_try(local_ray, tmp_path):
    config = {"threads": 1, "tries": str(tmp_path / "tries")}
    spread = Spread(1, gpu_share=1.0, max_failures=3, field="train.num_workers")
    with pytest.raises(Exception, match="gone") as failed:
        fit(refuse, config, tmp_path, tell=lambda event: None, spread=spread)
    assert str(cause_within(failed.value, UserError)) == "the store is gone"
    assert (tmp_path / "tries").read_text() == "try\n"
