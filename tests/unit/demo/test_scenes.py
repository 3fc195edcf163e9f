"""Bundled scenes: reproducible, fully labeled, every class present, readable as a dataset
folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.demo.scenes import CLASSES, Scene, render_scene, write_scenes
from tests.known import a

# One scene of each kind: its seed, the digest of its label and the mean color of its image.
KINDS = [
    ("square", 0, "0b4e40a6aaabbdc3", (122.99, 99.95, 76.69)),
    ("lakeside", 1, "fb460498a79d2aea", (103.51, 102.02, 98.06)),
    ("street", 2, "709833665e7bddf3", (98.20, 102.44, 102.04)),
    ("park", 4, "2751ee3d4bcd0d04", (99.01, 88.76, 69.03)),
    ("canal", 5, "75e4ae739f654862", (121.72, 117.42, 103.27)),
    ("highway", 6, "142ad33f51b56056", (115.00, 120.75, 129.10)),
    ("country", 27, "19a9b946b49e7646", (116.18, 106.82, 82.11)),
]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Labels of 60 scenes, ``[60, 120, 160]``; the world is the same at any size, so a small one
    will do.
    """
    return np.stack([render_scene(seed, height=120, width=160).label for seed in range(60)])


def _contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_classes_are_distinct_names() -> None:
    assert len(CLASSES) >= 9
    assert len(set(CLASSES)) == len(CLASSES)


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_same_seed_same_scene(seed: int) -> None:
    first, second = render_scene(seed), render_scene(seed)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)


@pytest.mark.parametrize(("kind", "seed", "digest", "color"), KINDS)
def test_scenes_are_the_same_in_every_version(
    kind: str, seed: int, digest: str, color: tuple[float, float, float]
) -> None:
    """Benchmarks and the bundled backbone rest on these scenes. The image is compared by its mean
    color: the last bit of an exponential differs between processors.
    """
    scene = render_scene(seed, height=72, width=96)
    assert hashlib.sha256(scene.label.tobytes()).hexdigest()[:16] == digest
    np.testing.assert_allclose(scene.image.mean(axis=(0, 1)), color, atol=0.02)


def global_state() -> np.ndarray:
    """The numbers of NumPy's global generator."""
    return a(tuple, np.random.get_state())[1]  # noqa: NPY002


def test_global_random_state_has_no_influence() -> None:
    np.random.seed(1)  # noqa: NPY002
    first = render_scene(3, height=64, width=64)
    np.random.seed(2)  # noqa: NPY002
    before = global_state().copy()
    second = render_scene(3, height=64, width=64)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(before, global_state())


def test_other_seeds_give_other_scenes() -> None:
    images = [render_scene(seed, height=64, width=64).image.tobytes() for seed in range(12)]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (64, 200), (200, 64), (97, 131), (333, 481)]
)
@pytest.mark.parametrize("seed", [0, 1, 5, 24])
def test_any_size(seed: int, height: int, width: int) -> None:
    scene = render_scene(seed, height=height, width=width)
    assert isinstance(scene, Scene)
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.label.shape == (height, width)
    assert scene.label.dtype == np.uint8
    assert scene.label.max() < len(CLASSES)
    assert scene.image.std() > 10  # neither black nor blown out


def test_size_changes_sampling_not_the_world() -> None:
    for seed in range(4):
        large = render_scene(seed, height=240, width=320).label[1::2, 1::2]
        small = render_scene(seed, height=120, width=160).label
        assert (large == small).mean() > 0.9


def test_every_class_is_common(labels: np.ndarray) -> None:
    assert labels.max() < len(CLASSES)
    shares = np.stack([(labels == k).mean(axis=(1, 2)) for k in range(len(CLASSES))], axis=1)
    for name, pixels, scenes in zip(
        CLASSES, shares.mean(axis=0), (shares > 0).mean(axis=0), strict=True
    ):
        assert pixels >= 0.005, f"{name}: {100 * pixels:.2f} % of the pixels"
        assert scenes >= 0.15, f"{name}: in {100 * scenes:.0f} % of the scenes"


def test_scenes_hold_several_classes(labels: np.ndarray) -> None:
    counts = [len(np.unique(label)) for label in labels]
    assert min(counts) >= 3
    assert np.mean(counts) >= 5


def test_one_class_has_many_colors() -> None:
    """A class must not be told by its color alone: its mean color moves more between scenes
    than a tint would.
    """
    for name in ("building", "vehicle", "person"):
        k = CLASSES.index(name)
        means = []
        for seed in range(30):
            scene = render_scene(seed, height=96, width=128)
            if (scene.label == k).sum() > 50:
                means.append(scene.image[scene.label == k].mean(axis=0))
        assert np.std(means, axis=0).mean() > 10


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"seed": 0, "height": 63}, "at least 64 pixels, got 63 x 320"),
        ({"seed": 0, "width": 10}, "at least 64 pixels, got 240 x 10"),
    ],
)
def test_bad_parameters(kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_scene(**kwargs)


def test_folder_is_written_and_read_back(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes", num_train=3, num_val=2, seed=4)
    train = (root / "train.txt").read_text().split("\n")
    val = (root / "val.txt").read_text().split("\n")
    assert (len(train), train.pop(), len(val), val.pop()) == (4, "", 3, "")
    assert not set(train) & set(val)
    assert tuple((root / "classes.txt").read_text().splitlines()) == CLASSES
    assert {p.stem for p in (root / "images").iterdir()} == {*train, *val}
    assert {p.stem for p in (root / "labels").iterdir()} == {*train, *val}
    seen = set()
    for stem in (*train, *val):
        with Image.open(root / "images" / f"{stem}.jpg") as image:
            assert (image.mode, image.size) == ("RGB", (320, 240))
        with Image.open(root / "labels" / f"{stem}.png") as label:
            assert label.mode == "P"
            indices = np.asarray(label)
        assert indices.shape == (240, 320)
        assert indices.max() < len(CLASSES)
        seen.add(indices.tobytes())
    assert len(seen) == 5


def test_writing_again_leaves_the_same_bytes(tmp_path: Path) -> None:
    root = write_scenes(tmp_path, num_train=2, num_val=1)
    before = _contents(root)
    write_scenes(tmp_path, num_train=2, num_val=1)
    assert _contents(root) == before


def test_several_processes_write_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _contents(write_scenes(tmp_path / "alone", num_train=4, num_val=1))
    monkeypatch.setattr("raynef.demo.scenes.SCENES_EACH", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    rendered: list[int] = []

    def counted(seed: int) -> Scene:  # here; the other process has its own
        rendered.append(seed)
        return render_scene(seed)

    monkeypatch.setattr("raynef.demo.scenes.render_scene", counted)
    assert _contents(write_scenes(tmp_path / "together", num_train=4, num_val=1)) == alone
    assert len(rendered) == 3


def test_what_another_process_could_not_write_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("raynef.demo.scenes.SCENES_EACH", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (tmp_path / "labels" / "train_00001.png").mkdir(parents=True)  # of the other's share
    with pytest.raises(IsADirectoryError, match="train_00001"):
        write_scenes(tmp_path, num_train=2, num_val=0)
    assert not list(tmp_path.glob("*.txt"))
    assert "Traceback" not in capfd.readouterr().err


def test_more_scenes_keep_the_earlier_ones(tmp_path: Path) -> None:
    small = _contents(write_scenes(tmp_path / "small", num_train=1, num_val=1, seed=9))
    large = _contents(write_scenes(tmp_path / "large", num_train=2, num_val=1, seed=9))
    shared = [name for name in small if name.endswith((".jpg", ".png"))]
    assert len(shared) == 4
    assert all(large[name] == small[name] for name in shared)


def test_unfinished_folder_has_no_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path, num_train=1, num_val=0)

    def fail(*args: object, **kwargs: object) -> Scene:
        raise RuntimeError("power cut")

    monkeypatch.setattr("raynef.demo.scenes.render_scene", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        write_scenes(tmp_path, num_train=2, num_val=1)
    assert not list(tmp_path.glob("*.txt"))


def test_negative_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got -1 and 2"):
        write_scenes(tmp_path, num_train=-1, num_val=2)
