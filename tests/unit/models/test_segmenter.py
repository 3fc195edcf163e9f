"""The segmenter: what goes in, what comes out, and what its folder carries."""

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch.nn import functional

import raynef
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import BadImageError, UserError
from raynef.eigen.psi import AttentionPsi, Psi
from raynef.features.backbone import NUM_TAPS, create_model, load_backbone
from raynef.images.geometry import pad_to
from raynef.models.heads import LinearHead, from_centroids, trunk_of
from raynef.models.segmenter import Mapping, Segmenter, save_mapping, segmenter_folder

pytestmark = pytest.mark.usefixtures("one_thread")
NAME, K = "vit_tiny_patch16_224", 7


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights of a ViT-Ti, large enough to tell patches apart."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {
            name: tensor + 0.05 * torch.randn(tensor.shape)
            for name, tensor in create_model(NAME).state_dict().items()
        }
    safetensors.torch.save_file(state, path)
    return path


def make(weights: Path, **options) -> Segmenter:
    config = BackboneConfig(name=NAME, weights=str(weights), precision="float32")
    backbone = load_backbone(config)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, K, num_blocks=1, seed=3)
    with torch.no_grad():  # the initial blocks add almost nothing
        for parameter in psi.blocks.parameters():
            parameter.mul_(4)
    return Segmenter(backbone, psi, backbone_config=config, **{"short_side": 40, **options})


def with_head(segmenter: Segmenter, head: Psi | LinearHead, **options) -> Segmenter:
    """Another head on the same backbone."""
    return Segmenter(
        segmenter.backbone,
        head,
        backbone_config=segmenter.backbone_config,
        short_side=segmenter.short_side,
        **options,
    )


@pytest.fixture(scope="module")
def segmenter(weights) -> Segmenter:
    return make(weights)


@pytest.fixture(scope="module")
def saved(segmenter, tmp_path_factory) -> Path:
    """A saved segmenter; tests that change it copy it."""
    return segmenter.save(tmp_path_factory.mktemp("saved") / "segmenter")


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "segmenter")


def picture(height=50, width=70, seed=0) -> np.ndarray:
    """Blocks of color: neighboring patches differ."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(image)


# ------------------------------------------------------------------------------------ what goes in


def test_images_arrays_and_paths_are_one(segmenter, tmp_path):
    pixels = picture()
    expected = segmenter(pixels).clusters
    assert expected.shape == (50, 70)
    assert expected.dtype == np.uint16
    assert expected.max() < K
    assert len(np.unique(expected)) > 1  # else every comparison would hold
    Image.fromarray(pixels).save(tmp_path / "x.png")
    for image in (Image.fromarray(pixels), tmp_path / "x.png", str(tmp_path / "x.png")):
        np.testing.assert_array_equal(segmenter(image).clusters, expected)
    assert segmenter(pixels).classes is None
    assert segmenter(pixels).class_names is None


@pytest.mark.parametrize("tap", ["norm", "keys"])
def test_threads_share_a_segmenter(weights, tap):
    config = BackboneConfig(name=NAME, weights=str(weights), tap=tap)
    backbone = load_backbone(config)
    head = from_centroids(torch.randn(K, backbone.dim, generator=torch.Generator().manual_seed(0)))
    segmenter = Segmenter(backbone, head, backbone_config=config, short_side=40)
    pictures = [picture(50 + 8 * (n % 3), 70, seed=n) for n in range(24)]
    expected = [segmenter(pixels).clusters for pixels in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(segmenter, pictures))
    for one, alone in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.clusters, alone)


def test_gray_and_transparent_inputs(segmenter):
    pixels = picture()
    gray = pixels[:, :, 0]
    expected = segmenter(np.repeat(gray[:, :, None], 3, axis=2)).clusters
    np.testing.assert_array_equal(segmenter(gray).clusters, expected)
    np.testing.assert_array_equal(segmenter(Image.fromarray(gray)).clusters, expected)

    clear = np.zeros((50, 70, 4), np.uint8)  # black under nothing: white
    clear[10:40, 20:60, :3] = pixels[10:40, 20:60]
    clear[10:40, 20:60, 3] = 255
    on_white = np.full_like(pixels, 255)
    on_white[10:40, 20:60] = pixels[10:40, 20:60]
    expected = segmenter(on_white).clusters
    np.testing.assert_array_equal(segmenter(clear).clusters, expected)
    np.testing.assert_array_equal(segmenter(Image.fromarray(clear)).clusters, expected)


def test_an_image_on_its_side_is_turned(segmenter, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = picture()
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    expected = segmenter(np.rot90(pixels, -1)).clusters
    assert expected.shape == (70, 50)
    np.testing.assert_array_equal(segmenter(tmp_path / "x.png").clusters, expected)
    np.testing.assert_array_equal(segmenter(Image.open(tmp_path / "x.png")).clusters, expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_other_arrays_are_refused(segmenter, array):
    with pytest.raises(ValueError, match=r"must be uint8 .*got") as caught:
        segmenter(array)
    assert str(list(array.shape)) in str(caught.value)


def test_an_unreadable_file_is_refused(segmenter, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(BadImageError, match="not an image"):
        segmenter(tmp_path / "x.jpg")


@pytest.mark.parametrize("shape", [(1, 1), (17, 23), (64, 64), (40, 96), (90, 41), (3, 60)])
def test_maps_have_the_images_size(segmenter, shape):
    assert segmenter(picture(*shape)).clusters.shape == shape


# ------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("shape", [(40, 56), (40, 40), (48, 40), (40, 63)])
def test_clusters_against_a_slow_twin(segmenter, shape):
    """Crops as they are: pad to whole patches, run, interpolate to whole patches, cut, argmax."""
    pixels = picture(*shape)
    assert min(shape) == segmenter.short_side
    grid = (-(-shape[0] // 16), -(-shape[1] // 16))
    padded = pad_to(pixels, grid[0] * 16, grid[1] * 16)
    images = torch.from_numpy(padded).permute(2, 0, 1)[None] / 255.0
    with torch.inference_mode():
        logits = segmenter.head(segmenter.backbone((images - 0.5) / 0.5))
        maps = functional.interpolate(
            logits.reshape(1, *grid, K).permute(0, 3, 1, 2), scale_factor=16, mode="bilinear"
        )[0, :, : shape[0], : shape[1]]
    best = maps.topk(2, dim=0).values
    clear = (best[0] - best[1] > 1e-4).numpy()
    assert clear.mean() > 0.98
    clusters = segmenter.clusters(pixels[None])[0]
    np.testing.assert_array_equal(clusters[clear], maps.argmax(dim=0).numpy()[clear])


@pytest.mark.parametrize(
    ("shape", "seen"), [((80, 112), (48, 64)), ((90, 40), (96, 48)), ((23, 17), (48, 48))]
)
def test_a_photograph_is_seen_in_whole_patches(segmenter, shape, seen):
    """Resized to whole patches of 16, short side 40: nothing is padded; then to its own size."""
    pixels = picture(*shape)
    small = Image.fromarray(pixels).resize(seen[::-1], Image.Resampling.BILINEAR)
    images = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255.0
    with torch.inference_mode():
        logits = segmenter.head(segmenter.backbone((images - 0.5) / 0.5), grid=seen_grid(seen))
        logits = logits.reshape(1, *seen_grid(seen), K).permute(0, 3, 1, 2)
        maps = functional.interpolate(logits, size=shape, mode="bilinear")[0]
    best = maps.topk(2, dim=0).values
    clear = (best[0] - best[1] > 1e-4).numpy()
    assert clear.mean() > 0.98
    clusters = segmenter(pixels).clusters
    np.testing.assert_array_equal(clusters[clear], maps.argmax(dim=0).numpy()[clear])


def seen_grid(seen):
    return seen[0] // 16, seen[1] // 16


def test_a_batch_is_its_images(segmenter):
    batch = np.stack([picture(40, 56, seed) for seed in range(3)])
    together = segmenter.clusters(batch, (80, 112))
    assert together.shape == (3, 80, 112)
    for image, clusters in zip(batch, together, strict=True):
        alone = segmenter.clusters(image[None], (80, 112))[0]
        assert (alone == clusters).mean() > 0.999  # other sums in a batch: ties may turn


def test_classes_where_there_is_a_mapping(weights):
    classes = (1, 0, -1, 1, 0, 1, -1)
    mapped = make(weights, mapping=Mapping(classes, ("sky", "road")))
    found = mapped(picture())
    assert found.class_names == ("sky", "road")
    assert found.classes is not None
    assert found.classes.dtype == np.int16
    np.testing.assert_array_equal(found.classes, np.array(classes)[found.clusters])


# ----------------------------------------------------------------------------------- the folder


def test_round_trip_is_bit_identical(segmenter, saved):
    again = Segmenter.load(saved)
    assert (again.num_clusters, again.short_side, again.mapping) == (K, 40, None)
    assert str(again.device) == "cpu"
    assert raynef.Segmenter is Segmenter
    for seed in range(3):
        pixels = picture(37, 61, seed)
        np.testing.assert_array_equal(again(pixels).clusters, segmenter(pixels).clusters)
        small = pixels[None]
        assert torch.equal(again.patch_logits(small), segmenter.patch_logits(small))


def test_a_run_or_its_segmenter_opens(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run" / "segmenter")
    assert segmenter_folder(tmp_path / "run") == tmp_path / "run" / "segmenter"
    assert segmenter_folder(str(saved)) == saved
    assert Segmenter.load(tmp_path / "run").num_clusters == K


def test_local_weights_go_along(weights, tmp_path):
    """The source is deleted, the folder moved, and what was loaded is saved once more."""
    source = Path(shutil.copy(weights, tmp_path / "mine.safetensors"))
    made = make(source)
    expected = made(picture()).clusters
    made.save(tmp_path / "one")
    source.unlink()
    (tmp_path / "one").rename(tmp_path / "two")
    again = Segmenter.load(tmp_path / "two")
    np.testing.assert_array_equal(again(picture()).clusters, expected)
    again.save(tmp_path / "three")
    again.save(tmp_path / "two")
    shutil.rmtree(tmp_path / "two")
    third = Segmenter.load(tmp_path / "three")
    np.testing.assert_array_equal(third(picture()).clusters, expected)
    assert str(tmp_path) not in (tmp_path / "three" / "config.json").read_text(encoding="utf-8")


def test_the_folder_holds_no_pickle(saved):
    names = {path.name for path in saved.iterdir()}
    assert names == {"config.json", "model.safetensors", "backbone.safetensors"}


def test_a_mapping_is_set_afterwards(copy):
    mapping = Mapping((0, 1, 2, -1, 0, 1, 2), ("sky", "road", "Baum"))
    save_mapping(copy, mapping)
    again = Segmenter.load(copy)
    assert again.mapping == mapping
    found = again(picture())
    np.testing.assert_array_equal(found.classes, np.array(mapping.classes)[found.clusters])
    assert found.class_names == ("sky", "road", "Baum")
    again.save(copy)
    assert Segmenter.load(copy).mapping == mapping
    assert {path.name for path in copy.iterdir()} == {
        "config.json",
        "model.safetensors",
        "backbone.safetensors",
    }


@pytest.mark.parametrize("options", [{}, {"cosine": True}, {"trunk": True}])
def test_linear_heads_go_and_come_back(segmenter, tmp_path, options):
    """K-means, K-means of directions, Ours*."""
    trunk = trunk_of(segmenter.head) if options.get("trunk") else None
    width = (NUM_TAPS if trunk else 1) * segmenter.backbone.dim
    centroids = torch.randn((9, width), generator=torch.Generator().manual_seed(1))
    head = from_centroids(centroids, trunk=trunk, cosine=options.get("cosine", False))
    made = with_head(segmenter, head)
    made.save(tmp_path / "segmenter")
    again = Segmenter.load(tmp_path)
    assert isinstance(again.head, LinearHead)
    assert (again.num_clusters, again.supervised, again.labels_leaked) == (9, False, False)
    assert again.head.cosine == head.cosine
    pixels = picture(37, 61)[None]
    logits = made.patch_logits(pixels)
    assert logits.shape == (1, 3, 4, 9)
    assert logits.flatten(1, 2).std(dim=1).min() > 0  # patches differ
    assert torch.equal(again.patch_logits(pixels), logits)
    np.testing.assert_array_equal(again.clusters(pixels), made.clusters(pixels))
    assert again(pixels[0]).clusters.shape == (37, 61)


def test_what_was_trained_on_labels_says_so(segmenter, tmp_path):
    names = Mapping((0, 1), ("sky", "road"))
    head = LinearHead(segmenter.backbone.dim, 2)
    with_head(segmenter, head, mapping=names, supervised=True).save(tmp_path / "probe")
    with_head(segmenter, segmenter.head, labels_leaked=True).save(tmp_path / "leaked")
    probe, leaked = (Segmenter.load(tmp_path / name) for name in ("probe", "leaked"))
    assert (probe.supervised, probe.labels_leaked, probe.mapping) == (True, False, names)
    assert (leaked.supervised, leaked.labels_leaked) == (False, True)
    probe.save(tmp_path / "again")
    assert Segmenter.load(tmp_path / "again").supervised


def test_a_folder_from_before_there_were_other_heads(segmenter, copy):
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    for name in ("head", "supervised", "labels_leaked"):
        del config[name]
    config["format"] = 1
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    again = Segmenter.load(copy)
    assert isinstance(again.head, Psi)
    assert (again.supervised, again.labels_leaked) == (False, False)
    np.testing.assert_array_equal(again(picture()).clusters, segmenter(picture()).clusters)


# ----------------------------------------------------------------------------------- input size


def at_size(segmenter: Segmenter, input_size: int) -> Segmenter:
    """The same backbone and head at an input size."""
    config = dataclasses.replace(segmenter.backbone_config, input_size=input_size)
    return Segmenter(
        segmenter.backbone, segmenter.head, backbone_config=config, short_side=segmenter.short_side
    )


@pytest.mark.parametrize("shape", [(40, 40), (40, 56), (90, 41)])
def test_an_input_size_is_what_the_backbone_sees(segmenter, shape, tmp_path):
    """Whatever it is given: a square of that side, resized bicubically."""
    sized = at_size(segmenter, 64)
    pixels = picture(*shape)
    square = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    expected = segmenter.patch_logits(np.asarray(square)[None])
    assert expected.shape == (1, 4, 4, K)
    assert torch.equal(sized.patch_logits(pixels[None]), expected)
    assert sized.cell(shape) == (shape[0] / 4, shape[1] / 4)
    again = Segmenter.load(sized.save(tmp_path / "sized"))
    assert again.backbone_config.input_size == 64
    assert again(pixels).clusters.shape == shape
    np.testing.assert_array_equal(again(pixels).clusters, sized(pixels).clusters)


def test_cells_of_an_input_size_lie_where_they_were_seen(segmenter):
    """The pixel in the middle of a cell has the cluster of that cell, along both sides."""
    sized = at_size(segmenter, 80)
    pixels = picture(45, 90)  # two squares side by side, with cells of 9 pixels
    nearest = sized.patch_logits(np.stack([pixels[:, :45], pixels[:, 45:]])).argmax(dim=-1).numpy()
    assert len(np.unique(nearest)) > 1
    centers = sized.clusters(pixels[None])[0][4::9, 4::9]
    np.testing.assert_array_equal(centers, np.hstack(list(nearest)))


def test_photographs_that_are_not_square_are_cut_into_squares(segmenter, monkeypatch):
    sized, seen, taps = at_size(segmenter, 64), [], segmenter.taps
    monkeypatch.setattr(sized, "taps", lambda pixels: seen.append(pixels) or taps(pixels))
    pixels = picture(60, 40)
    found = sized(pixels)
    assert found.clusters.shape == (60, 40)
    (seen,) = seen
    for square, top in zip(seen, (0, 20), strict=True):  # the last ends with the photograph
        part = Image.fromarray(pixels[top : top + 40])
        resized = part.resize((64, 64), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(square, np.asarray(resized))


def test_a_folder_of_format_1_is_read(segmenter, tmp_path):
    """Its zoom was backbone.input_size over data.crop: the input size says what is to be seen."""
    at_size(segmenter, 64).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    old = {**config, "format": 1, "zoom": 64 / 40}
    (tmp_path / "config.json").write_text(json.dumps(old), encoding="utf-8")
    pixels = picture(40, 60)
    expected = at_size(segmenter, 64)(pixels).clusters
    np.testing.assert_array_equal(Segmenter.load(tmp_path)(pixels).clusters, expected)
    del old["backbone"]["input_size"]
    (tmp_path / "config.json").write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(UserError, match=r"config.json is damaged.*zoom 1.6 without backbone.input"):
        Segmenter.load(tmp_path)


# ------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"", "config.json is damaged"),
        ("config.json", b'{"format": 1', "config.json is damaged"),
        ("config.json", b"[1]", "config.json is damaged"),
        ("config.json", b"{}", "config.json is damaged"),
        ("config.json", b'{"format": 1}', "config.json is damaged.*backbone"),
        ("config.json", b"\xff\xfe", "config.json is damaged"),
        ("config.json", {"format": 3}, "has format 3, this raynef reads formats 1 and 2"),
        ("config.json", {"backbone": {"nome": 1}}, "config.json is damaged.*nome"),
        ("config.json", {"num_eigenfunctions": None}, "config.json is damaged"),
        (
            "config.json",
            {"num_eigenfunctions": 9},
            r"does not fit its config.json: head.weight is \[7, .* in the file, \[9, .*1 more of",
        ),
        ("config.json", {"num_blocks": 3}, "does not fit its config.json"),
        ("config.json", {"head": "linear"}, "does not fit its config.json"),
        ("config.json", {"head": "none"}, "config.json is damaged.*none"),
        ("config.json", {"mapping": {"classes": [0]}}, "config.json is damaged.*class_names"),
        (
            "config.json",
            {"mapping": {"classes": [0], "class_names": ["a"]}},
            "config.json is damaged.*1 clusters mapped of 7",
        ),
        ("model.safetensors", b"", "model.safetensors cannot be read"),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{}", "model.safetensors cannot be read"),
        ("backbone.safetensors", b"half", "backbone.safetensors cannot be read"),
        ("config.json", None, "holds no segmenter"),
        ("model.safetensors", None, "holds no segmenter"),
        ("backbone.safetensors", None, "backbone.safetensors.*is neither a file"),
    ],
)
def test_a_damaged_folder_is_said(copy, file, content, message):
    path = copy / file
    if content is None:
        path.unlink()
    elif isinstance(content, dict):
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, **content}), encoding="utf-8")
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        Segmenter.load(copy)


def test_cut_weights_are_said(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model.safetensors cannot be read"):
        Segmenter.load(copy)


def test_nothing_there(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="holds no segmenter; raynef train"):
            Segmenter.load(path)
