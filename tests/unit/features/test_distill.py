"""Distillation on a few random images, and the file that is bundled."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer

from raynef.assign.kmeans import find_centroids, nearest_centroids
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import NonFiniteLossError, UserError
from raynef.demo.scenes import write_scenes
from raynef.features.backbone import load_backbone
from raynef.features.distill import DistillConfig, ImageSource, distill
from raynef.features.distill.trainer import patch_tokens, tokens_within
from raynef.features.precision import has_bfloat16
from raynef.features.student import EMBED_DIM, create_student
from raynef.features.weights import bundled_file, load_weights
from raynef.images.decode import read_image

SMALL = DistillConfig(
    steps=4,
    batch_size=2,
    crop_sizes=((32, 0.5), (48, 0.5)),
    stats_batches=2,
    learning_rate=2e-3,
    autocast=False,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of colored stripes."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(6):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((80, 64), Image.Resampling.NEAREST).save(
            root / f"{index}.png"
        )
    return root


class Teacher(VisionTransformer):
    """A ViT that says how its images are normalized, as those do that timm makes by name."""

    pretrained_cfg: dict[str, tuple[float, ...]]


def make_teacher(*, dim: int = EMBED_DIM, patch_size: int = 16) -> Teacher:
    torch.manual_seed(7)
    teacher = Teacher(
        img_size=32, patch_size=patch_size, embed_dim=dim, depth=2, num_heads=2, num_classes=0,
        dynamic_img_size=True,
    )  # fmt: skip
    teacher.pretrained_cfg = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    return teacher


def make_student() -> VisionTransformer:
    torch.manual_seed(1)
    return create_student(img_size=32)


def source(folder: Path) -> list[ImageSource]:
    return [ImageSource(tuple(sorted(folder.iterdir())))]


def settings(**changes: object) -> DistillConfig:
    return DistillConfig(**{**SMALL.__dict__, **changes})  # type: ignore[arg-type]


def test_loss_falls(folder: Path) -> None:
    config = settings(steps=1, cutmix=0.0, jitter=0.0, crop_sizes=((32, 1.0),))
    first = distill(
        make_teacher(), make_student(), source(folder), read_image=read_image, config=config
    )
    last = distill(
        make_teacher(),
        make_student(),
        source(folder),
        read_image=read_image,
        config=settings(steps=50, cutmix=0.0, jitter=0.0, crop_sizes=((32, 1.0),)),
    )
    assert last.loss < 0.9 * first.loss  # the mean over all 50 steps, the bad first ones included
    assert last.steps == 50
    assert last.images_seen == 100


def test_resumed_is_uninterrupted(folder: Path, tmp_path: Path) -> None:
    whole = make_student()
    distill(make_teacher(), whole, source(folder), read_image=read_image, config=SMALL)

    checkpoint = tmp_path / "run.pt"
    reads = 0

    def read_then_die(path: Path) -> np.ndarray:
        nonlocal reads
        reads += 1
        if reads > 6:
            raise KeyboardInterrupt
        return read_image(path)

    # Saved at every step, and every image is read anew.
    config = settings(save_every_minutes=0.0, cache_mb=0)
    options = {"config": config, "checkpoint": checkpoint}
    with pytest.raises(KeyboardInterrupt):
        distill(
            make_teacher(),
            make_student(),
            source(folder),
            **{**options, "read_image": read_then_die},
        )
    assert 0 < torch.load(checkpoint, weights_only=True)["step"] < 4
    torch.manual_seed(99)
    resumed = make_student()
    result = distill(make_teacher(), resumed, source(folder), read_image=read_image, **options)
    assert result.steps == 4
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


def test_checkpoint_of_other_settings_is_refused(folder: Path, tmp_path: Path) -> None:
    options = {"read_image": read_image, "checkpoint": tmp_path / "run.pt"}
    distill(make_teacher(), make_student(), source(folder), config=settings(steps=1), **options)
    with pytest.raises(UserError, match=r"steps.*\(1, 2\)"):
        distill(make_teacher(), make_student(), source(folder), config=settings(steps=2), **options)


def test_written_file_loads_and_holds_nothing_of_the_teacher(folder: Path, tmp_path: Path) -> None:
    teacher, student, out = make_teacher(), make_student(), tmp_path / "student.safetensors"
    distill(
        teacher, student, source(folder), read_image=read_image, config=SMALL, out=out,
        metadata={"teacher": "tiny"},
    )  # fmt: skip
    loaded = create_student()
    load_weights(loaded, out)  # strict; resamples the position embeddings from 32 to 224
    with safe_open(out, "pt") as file:
        about = file.metadata()
        assert all(file.get_tensor(name).dtype == torch.float16 for name in file.keys())  # noqa: SIM118
    assert about["teacher"] == "tiny"
    assert about["steps"] == "4"
    theirs = [value for value in teacher.state_dict().values() if value.numel() > 1]
    for name, value in student.state_dict().items():
        assert not any(value.shape == t.shape and torch.equal(value, t) for t in theirs), name
    assert [path.name for path in tmp_path.iterdir()] == ["student.safetensors"]


def test_teacher_of_other_width_and_patch_size(folder: Path) -> None:
    teacher = make_teacher(dim=64, patch_size=8)
    result = distill(
        teacher, make_student(), source(folder), read_image=read_image, config=settings(steps=1)
    )
    assert np.isfinite(result.loss)


def test_corrupt_image_is_skipped_and_named(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not an image")
    both = [*source(folder), ImageSource((bad,), weight=4.0)]
    result = distill(make_teacher(), make_student(), both, read_image=read_image, config=SMALL)
    assert list(result.skipped) == [str(bad)]
    assert "not an image" in result.skipped[str(bad)]
    with pytest.raises(UserError, match=r"none of the 1 images can be read.*bad\.jpg"):
        distill(make_teacher(), make_student(), both[1:], read_image=read_image, config=SMALL)


def test_non_finite_loss_stops_with_the_step(folder: Path) -> None:
    student = make_student()
    with torch.no_grad():
        student.get_parameter("blocks.0.mlp.fc1.bias").fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="at step 0"):
        distill(make_teacher(), student, source(folder), read_image=read_image, config=SMALL)


@pytest.mark.parametrize(
    "changes", [{"steps": None}, {"minutes": 1.0}, {"steps": 0}, {"crop_scale": (0.5, 2.0)}]
)
def test_impossible_settings_are_named(folder: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="|".join(changes)):
        settings(**changes).check()


def test_student_takes_any_multiple_of_its_patch() -> None:
    student = create_student().eval()
    with torch.inference_mode():
        middle, last = patch_tokens(student, torch.rand(1, 3, 48, 80))
    assert middle.shape == last.shape == (1, 15, EMBED_DIM)


def test_the_stem_does_not_see_where_an_image_ends() -> None:
    """On an image of one color, every patch before the position embeddings is the same."""
    torch.manual_seed(0)
    stem = create_student().patch_embed
    with torch.inference_mode():
        grid = stem(torch.full((1, 3, 96, 128), 0.7))
    assert grid.std(dim=(1, 2)).max() < 1e-5
    assert grid.std(dim=3).min() > 0  # of channels: they are not all zero


@pytest.mark.parametrize("margin", [1, 2])
def test_the_margin_that_a_teacher_sees_is_dropped(margin: int) -> None:
    teacher = make_teacher().eval()
    images = torch.rand(2, 3, 48, 48)
    mirrored = torch.from_numpy(
        np.pad(images.numpy(), ((0, 0), (0, 0), *[(16 * margin, 16 * margin)] * 2), mode="reflect")
    )
    with torch.inference_mode():
        for found, around in zip(
            tokens_within(teacher, images, margin=margin),
            patch_tokens(teacher, mirrored),
            strict=True,
        ):
            whole = around.view(2, 3 + 2 * margin, 3 + 2 * margin, -1)
            inner = whole[:, margin : margin + 3, margin : margin + 3].reshape(2, 9, -1)
            torch.testing.assert_close(found, inner, rtol=0, atol=0)


def test_a_teachers_corners_are_nothing_to_learn(folder: Path) -> None:
    """Of a teacher with the same huge token at its corners, the student sees none."""

    class Cornered(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = make_teacher()
            self.patch_embed, self.blocks = self.inside.patch_embed, self.inside.blocks
            self.embed_dim, self.pretrained_cfg = EMBED_DIM, self.inside.pretrained_cfg
            self.num_prefix_tokens = 0

        def forward_intermediates(self, images: torch.Tensor, **_: object):
            side = images.shape[-1] // 16
            tokens = torch.zeros(len(images), side, side, EMBED_DIM)
            tokens[:, [0, 0, -1, -1], [0, -1, 0, -1]] = 1e4
            return tokens.flatten(1, 2), (tokens.flatten(1, 2),)

    student = make_student()
    config = settings(steps=1, cutmix=0.0)
    distill(Cornered(), student, source(folder), read_image=read_image, config=config)
    bias = student.get_parameter("norm.bias")
    assert bias.abs().max() < 1  # the teacher's mean, in its own units


def test_no_cluster_is_of_corners_alone(tmp_path: Path) -> None:
    """K-means on the bundled backbone's patches of scenes: corners go to many clusters."""
    root = write_scenes(tmp_path, num_train=20, num_val=0, seed=5)
    paths = sorted((root / "images").iterdir())
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB").resize((320, 320))) for p in paths])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    backbone = load_backbone(BackboneConfig())
    features = torch.cat([backbone(part)[:, -1] for part in images.split(5)]).numpy()
    points = features.reshape(-1, features.shape[-1])
    centroids = find_centroids(points, 32, iterations=20, seed=0)
    clusters = nearest_centroids(points, centroids).reshape(-1, 20, 20)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        counts = np.bincount(clusters[:, row, column], minlength=32)
        assert counts.max() <= 0.6 * len(paths)


def test_bfloat16_is_used_where_the_device_has_it(folder: Path, monkeypatch) -> None:
    """Without it, each product takes tens of times as long as in float32."""
    used: list[bool] = []
    real, trainer = torch.autocast, "raynef.features.distill.trainer"

    def spy(device: str, dtype: torch.dtype, *, enabled: bool) -> torch.autocast:
        used.append(enabled)
        return real(device, dtype, enabled=enabled)

    monkeypatch.setattr(f"{trainer}.torch.autocast", spy)
    for has in (False, True):
        monkeypatch.setattr(f"{trainer}.has_bfloat16", lambda device, has=has: has)
        used.clear()
        config = settings(steps=1, autocast=True)
        distill(
            make_teacher(), make_student(), source(folder), read_image=read_image, config=config
        )
        assert set(used) == {has}
    assert isinstance(has_bfloat16(torch.device("cpu")), bool)


def test_bundled_file() -> None:
    path = bundled_file()
    assert path.stat().st_size < 8_000_000
    load_weights(create_student(), path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert {"teacher", "command", "steps", "seed"} <= set(about)
    assert (path.parent / "MODEL_CARD.md").is_file()
