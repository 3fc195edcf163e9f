"""K by the number of images: what is chosen, and that a run keeps it."""

import pytest

from raynef.config.presets import load_presets
from raynef.core.errors import UserError
from raynef.jobs.clusters import suited_clusters, with_clusters
from raynef.jobs.kmeans import kmeans
from raynef.stores.run import RunFolder
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.mark.parametrize(
    ("images", "clusters"),
    [(1, 16), (10, 32), (64, 64), (276, 128), (443, 128), (1000, 256), (118_000, 256)],
)
def test_it_grows_with_the_root_of_the_images(images, clusters):
    assert suited_clusters(images) == clusters


def test_a_folder_leaves_it_open_and_what_is_said_stays(recipe):
    assert load_presets(["folder"]).eigen.num_eigenfunctions == 0
    assert with_clusters(recipe) is recipe


def test_a_run_keeps_it_when_there_are_more_images(recipe, copy_of_sample, tmp_path, caplog):
    data = {"root": str(copy_of_sample)}
    open_k = change(recipe, data=data, eigen={"num_eigenfunctions": 0})
    with caplog.at_level("INFO", logger="raynef"):
        result = kmeans(open_k, tmp_path / "run")
    assert "K = 32 clusters, which suits 10 images" in caplog.text
    assert RunFolder(tmp_path / "run").recipe().eigen.num_eigenfunctions == 32
    for number in range(40):
        (copy_of_sample / "images" / f"more_{number}.jpg").write_bytes(
            (copy_of_sample / "images" / "train_00000.jpg").read_bytes()
        )
    (copy_of_sample / "train.txt").unlink()
    (copy_of_sample / "val.txt").unlink()
    assert with_clusters(open_k).eigen.num_eigenfunctions == 64
    like = with_clusters(open_k, tmp_path / "new", like=tmp_path / "run")  # --init-from
    assert like.eigen.num_eigenfunctions == 32
    again = kmeans(open_k, tmp_path / "run")
    assert again["num_images"] == result["num_images"]
    assert "input_changed" in again


def test_it_must_fit_the_other_fields(recipe):
    with pytest.raises(UserError, match=r"kmeans.max_points"):
        with_clusters(change(recipe, eigen={"num_eigenfunctions": 0}, kmeans={"max_points": 20}))
