"""The feature store on Ray: tasks that find bad files, actors, a write by tasks again."""

import pytest

from raynef.core.errors import UserError
from raynef.images.datasets.registry import open_split
from raynef.jobs.extract import ensure_store, scan
from tests.tiny import change
from tests.unit.jobs.test_extract import spoil


@pytest.mark.slow
def test_bad_files_are_skipped_counted_and_named(recipe, copy_of_sample, local_ray, tmp_path):
    bad = spoil(copy_of_sample)
    spoiled = change(recipe, data={"root": str(copy_of_sample), "max_bad_fraction": 0.3})
    images = open_split(spoiled.data, "train")
    store = ensure_store(spoiled, images, tmp_path / "store")
    assert set(store.skipped) == bad
    assert len(store.images()) == len(images.files) - len(bad) == 17
    with pytest.raises(UserError, match=r"4 of 21 images .*max_bad_fraction = 0.05"):
        scan(change(spoiled, data={"max_bad_fraction": 0.05}).data, images)
