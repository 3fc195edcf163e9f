"""Deep Spectral Methods from images to boxes, masks and labels, on a tiny sample."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.cli.main import main
from raynef.cluster.place import this_process
from raynef.config.recipe import to_dict
from raynef.core.errors import UserError
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json, write_json
from raynef.jobs.spectral.eigen import EigenStore, eigen, open_solved, recipe_of
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.localize import localize
from raynef.jobs.spectral.objects import segment_objects
from raynef.jobs.spectral.segments import crop_around
from raynef.jobs.spectral.semantic import semantic
from raynef.segment.lost import lost_mask
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")


def blue(generator, size):
    """A blue that is not flat: hues of dark gray would be noise."""
    noise = generator.integers(0, 12, (*size, 3))
    return (np.array([20, 50, 140]) + noise).astype(np.uint8)


def boxes_of(root, size=(128, 96)):
    """A VOC layout: a yellow square on blue, with its box; and one image without an object."""
    generator = np.random.default_rng(0)
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    names = []
    for number in range(5):
        pixels = blue(generator, (size[1], size[0]))
        x, y = 16 + 16 * number, 32
        pixels[y : y + 32, x : x + 32] = [250, 220, 40]
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{number}.jpg")
        box = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + 32}</xmax><ymax>{y + 32}</ymax>"
        objects = f"<object><name>square</name><bndbox>{box}</bndbox></object>" if number else ""
        (root / "Annotations" / f"{number}.xml").write_text(f"<annotation>{objects}</annotation>")
        names.append(str(number))
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(names) + "\n")
    return root


def test_pairs_of_every_image(store, whole):
    pairs, features = EigenStore(store / "eigen"), WholeFeatures(store / "features")
    assert pairs.images() == list(range(10))
    one = pairs.read(3)
    assert one.vectors.shape == (12, 16, 7)  # 96x128 pixels, a node for each 8
    assert features.read(3).shape == (6, 8, 192)
    assert one.vectors[..., 0].std() < 1e-6
    assert (np.diff(one.values) >= 0).all()
    assert ((one.vectors[..., 1:] > 0).mean(axis=(0, 1)) <= 0.5).all()


def test_the_backbone_runs_once_for_any_number_of_settings(store, whole, monkeypatch, tmp_path):
    def fail(*_args, **_kwargs):
        pytest.fail("the backbone ran again")

    monkeypatch.setattr("raynef.jobs.spectral.features.WholeImageActor.run", fail)
    with this_process():
        eigen(whole, store)
        other = change(whole, spectral={"color_weight": 0.0})
        eigen(other, tmp_path / "other", features=store / "features")
    first, second = (EigenStore(f / "eigen").read(0) for f in (store, tmp_path / "other"))
    assert np.abs(first.values - second.values).max() > 1e-3
    assert open_solved(tmp_path / "other").features == store / "features"


def test_a_killed_run_goes_on(whole, monkeypatch, tmp_path):
    from raynef.jobs.spectral import solve as module

    last = open_split(whole.data, "train").files[-1].name
    read, real = [], module.fitted

    def dies_at_the_last(file, **how):
        read.append(file.name)
        if file.name == last and read.count(last) == 1:
            raise KeyboardInterrupt
        return real(file, **how)

    monkeypatch.setattr(module, "fitted", dies_at_the_last)
    with this_process():
        with pytest.raises(KeyboardInterrupt):
            eigen(whole, tmp_path / "store")
        assert eigen(whole, tmp_path / "store")["num_images"] == 10
    assert len(read) == 10 + 2  # the first shard, of eight images, is not recomputed


def test_bad_files_are_skipped_and_named(whole, copy_of_sample, tmp_path):
    first = sorted((copy_of_sample / "images").iterdir())[0]
    first.write_bytes(b"no image")
    spoiled = change(whole, data={"root": str(copy_of_sample)})
    with this_process():
        found = eigen(spoiled, tmp_path / "store")
    assert found["num_images"] == 9 or first.stem not in str(found["skipped"])
    assert all("not an image" in reason for reason in found["skipped"].values())


def test_a_store_is_bound_to_its_recipe(store, whole):
    other = change(whole, spectral={"color_weight": 3.0})
    message = r"spectral\.color_weight is 10\.0, not 3\.0"
    with this_process(), pytest.raises(UserError, match=message):
        eigen(other, store)


def test_what_comes_after_eigenpairs_makes_no_other_store(store, whole, monkeypatch, tmp_path):
    """Nor does a field that a store of an earlier version lacks."""
    monkeypatch.setattr(WholeFeatures, "read", lambda *_: pytest.fail("it was solved again"))
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    record = read_json(copy / "spectral.json")
    del record["recipe"]["spectral"]["hungarian"]
    write_json(copy / "spectral.json", record)
    assert recipe_of(copy).spectral.hungarian == "iou"
    with this_process():
        eigen(whole, copy)
        eigen(change(whole, spectral={"hungarian": "count", "num_clusters": 5}), copy)
    found = recipe_of(copy).spectral
    assert (found.hungarian, found.num_clusters, found.color_weight) == ("count", 5, 10.0)


def slow_largest_part(mask):
    """Nodes (y, x) of the largest part whose nodes touch, diagonals too, by walking it."""
    parts, left = [], set(map(tuple, np.argwhere(mask)))
    for start in map(tuple, np.argwhere(mask)):
        if start not in left:
            continue
        part, edge = [], [start]
        left.discard(start)
        while edge:
            y, x = edge.pop()
            part.append((y, x))
            around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            edge += around
        parts.append(part)
    return max(parts, key=len)  # of equal ones the first


def slow_box(nodes, side):
    """The box around nodes (y, x), in pixels: [x0, y0, x1, y1]."""
    ys, xs = ([int(node[axis]) for node in nodes] for axis in (0, 1))
    return [min(xs) * side, min(ys) * side, (max(xs) + 1) * side, (max(ys) + 1) * side]


def test_boxes_without_truth(store):
    with this_process():
        found = localize(store)
    assert found["corloc"] is None
    boxes = read_json(store / "localize.json")["boxes"]
    solved = open_solved(store)
    assert list(boxes) == [file.name for file in solved.images.files]
    features = WholeFeatures(store / "features")
    for index, by_method in enumerate(boxes.values()):
        part = slow_largest_part(solved.pairs.read(index).vectors[..., 1] > 0)
        assert by_method["fiedler"] == slow_box(part, 8)  # pixels of a node's side
        lost = lost_mask(features.read(index).numpy())
        assert by_method["lost"] == slow_box(list(zip(*np.nonzero(lost), strict=True)), 16)


def test_corloc(whole, tmp_path):
    """Colors alone find a yellow square on blue."""
    root = boxes_of(tmp_path / "voc")
    recipe = change(
        whole,
        data={"name": "voc_boxes", "root": str(root), "train_split": "trainval"},
        spectral={"color_weight": float("inf")},
    )
    with this_process():
        eigen(recipe, tmp_path / "store")
        found = localize(tmp_path / "store")
    assert (found["num_images"], found["num_scored"], found["num_boxes"]) == (5, 4, 4)
    assert found["corloc"] == 1.0
    assert found["corloc_whole_image"] == 0.0
    assert "IoU 100.0" in (tmp_path / "store" / "localize.html").read_text()


def masks_of(root):
    """The layout of ECSSD: a yellow rectangle on blue, with its mask."""
    for folder in ("images", "ground_truth_mask"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(3):
        pixels = blue(generator, (96, 128))
        mask = np.zeros((96, 128), dtype=np.uint8)
        mask[32:64, 16 + 16 * number : 64 + 16 * number] = 255
        pixels[mask > 0] = [250, 220, 40]
        Image.fromarray(pixels).save(root / "images" / f"{number}.jpg", quality=95)
        Image.fromarray(mask).save(root / "ground_truth_mask" / f"{number}.png")
    return root


def test_masks(whole, tmp_path):
    """Colors alone find a yellow rectangle; the CRF keeps it."""
    root = masks_of(tmp_path / "ECSSD")
    recipe = change(
        whole,
        data={"name": "ecssd", "root": str(root)},
        spectral={"color_weight": float("inf")},
    )
    with this_process():
        eigen(recipe, tmp_path / "store")
        found = segment_objects(tmp_path / "store")
        other = segment_objects(tmp_path / "store", out=tmp_path / "masks")
    assert found["miou_without_crf"] > 0.99
    assert found["miou"] > 0.95
    assert found["masks"] == str(tmp_path / "store" / "object")
    assert other["masks"] == str(tmp_path / "masks")
    overlaps = []
    for number in range(3):
        written, same, truth = (
            np.asarray(Image.open(folder / f"{number}.png"))
            for folder in (Path(found["masks"]), tmp_path / "masks", root / "ground_truth_mask")
        )
        assert sorted(np.unique(written)) == [0, 255]
        np.testing.assert_array_equal(written, same)
        both, either = (written & truth) > 0, (written | truth) > 0
        overlaps.append(both.sum() / either.sum())
    assert np.mean(overlaps) == pytest.approx(found["miou"], abs=1e-12)


def test_centers_of_one_store_label_another(store, whole, tmp_path):
    other = change(whole, data={"train_split": "val"})
    with this_process():
        eigen(other, tmp_path / "val")
        found = semantic(store, whole, on=tmp_path / "val")
        assert (found["num_images"], found["fitted_on"]) == (4, str(store))
        unlike = change(other, spectral={"color_weight": 0.0})
        eigen(unlike, tmp_path / "unlike")
        with pytest.raises(UserError, match=r"was made with color_weight 0\.0"):
            semantic(store, whole, on=tmp_path / "unlike")
        with pytest.raises(UserError, match="has 6 of each image"):
            semantic(store, change(whole, spectral={"num_eigenvectors": 9}))
        with pytest.raises(UserError, match=r"spectral\.color_weight is 10\.0 in"):
            semantic(store, change(whole, spectral={"color_weight": 1.0}))


def test_no_label_reaches_segments_or_clusters(store, whole, copy_of_sample, tmp_path):
    """Scrambled labels: the same centers to the last bit."""
    for path in (copy_of_sample / "labels").iterdir():
        values = np.asarray(Image.open(path))
        Image.fromarray(np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)
                        ).save(path)  # fmt: skip
    scrambled = change(whole, data={"root": str(copy_of_sample)})
    with this_process():
        semantic(store, whole)
        eigen(scrambled, tmp_path / "store")
        semantic(tmp_path / "store", scrambled)
    one, other = (
        np.load(f / "semantic-spectral.npz")["centroids"] for f in (store, tmp_path / "store")
    )
    np.testing.assert_array_equal(one, other)


def test_crops_are_whole_patches():
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    mask = np.zeros((8, 12), dtype=bool)
    mask[3, 5] = True
    assert crop_around(mask, pixels, expand=0, stride=16).shape == (16, 16, 3)
    assert crop_around(mask, pixels, expand=1, stride=16).shape == (48, 48, 3)
    assert crop_around(~mask, pixels, expand=2, stride=16).shape == (64, 96, 3)
    mask[2:4, 3:5] = True  # from the middle of one patch across to the middle of another
    assert crop_around(mask, pixels, expand=0, stride=16).shape == (16, 32, 3)
    mask[:, 5] = False
    assert crop_around(mask, pixels, expand=0, stride=16).shape == (16, 32, 3)


def test_the_commands(whole, tmp_path, capsys):
    import yaml

    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({k: v for k, v in to_dict(whole).items() if k in ("data", "backbone")})
    )
    line = ["spectral", "eigen", "--recipe", str(tmp_path / "recipe.yaml"), "--out"]
    flags = ["--spectral.num-eigenvectors", "5", "--spectral.color-weight", "0"]
    with this_process():
        for argv in (
            [*line, str(tmp_path / "store"), *flags],
            ["spectral", "localize", str(tmp_path / "store"), "--no-lost"],
            ["spectral", "semantic", str(tmp_path / "store"), "--spectral.num-clusters", "4"],
        ):
            with pytest.raises(SystemExit) as stopped:
                main(argv)
            assert stopped.value.code == 0
            found = json.loads(capsys.readouterr().out)
    assert found["num_clusters"] == 4
    with this_process(), pytest.raises(SystemExit) as stopped:
        main(["spectral", "localize", str(tmp_path / "nothing")])
    assert stopped.value.code == 2
    assert "holds no eigenpairs" in capsys.readouterr().err
