"""From files to tables, by every protocol, against a slow twin; without Ray."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from raynef.config.recipe import Evaluate
from raynef.core import IGNORE
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image, read_label
from raynef.images.geometry import center_crop, pad_to, resize, resize_label, short_side_size
from raynef.models.segmenter import Segmenter
from raynef.segment.crf import dense_crf
from raynef.work.maps import CountingActor, count_sharpened
from raynef.work.reading import Scoring, read_examples
from raynef.work.units import ImageUnit

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_CLUSTERS, NUM_CLASSES, PATCH = 12, 10, 16
PROTOCOLS = {
    "reco": Evaluate(protocol="reco", short_side=64, crop=64),
    "sliding": Evaluate(protocol="sliding", short_side=64, window=48, stride=32, batch_size=3),
    "whole": Evaluate(protocol="whole", short_side=64),
}


@pytest.fixture(scope="module", params=[None, 96])
def segmenter(request, recipe, tmp_path_factory):
    """Random eigenfunctions, and the folder where they are; with and without an input size."""
    config = dataclasses.replace(recipe.backbone, input_size=request.param)
    backbone = load_backbone(config)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, NUM_CLUSTERS).plain()
    folder = tmp_path_factory.mktemp("segmenter")
    made = Segmenter(backbone, psi, backbone_config=config, short_side=64)
    made.save(folder)
    return made, folder


@pytest.fixture(scope="module")
def files(recipe, tmp_path_factory):
    """Four validation images, two of them cut to other sizes."""
    found = list(open_split(recipe.data, "val").files)
    folder = tmp_path_factory.mktemp("cut")
    for index, box in ((1, (0, 0, 128, 70)), (3, (5, 0, 75, 96))):
        places = {}
        for part in ("path", "label"):
            places[part] = str(folder / f"{index}-{part}.png")
            with Image.open(getattr(found[index], part)) as image:
                image.crop(box).save(places[part])
        found[index] = dataclasses.replace(found[index], **places)
    return found


def scoring_of(config):
    shape = (2 if config.crf else 1, NUM_CLUSTERS, NUM_CLASSES)
    return Scoring(config, None, shape, temperature=0.3)


def examples_of(files, config):
    unit = ImageUnit(range(len(files)), tuple(files))
    return read_examples(unit, scoring=scoring_of(config))


def actor_of(folder, config):
    return CountingActor(str(folder), "cpu", scoring=scoring_of(config))


def interpolated(planes, size):
    return functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)


def one_window(segmenter, pixels):
    """Logits of every pixel of a window, [1, K, H, W], in double precision."""
    height, width = pixels.shape[:2]
    if segmenter.backbone_config.input_size is not None:
        logits = segmenter.patch_logits(pixels[None]).double().permute(0, 3, 1, 2)
        assert logits.shape[2:] == (6, 6)
        return interpolated(logits, (height, width))
    grid = (-(-height // PATCH), -(-width // PATCH))
    padded = pad_to(pixels, grid[0] * PATCH, grid[1] * PATCH)
    logits = segmenter.patch_logits(padded[None]).double().permute(0, 3, 1, 2)
    return interpolated(logits, padded.shape[:2])[..., :height, :width]


def slow_logits(segmenter, file, config):
    """(logits of the pixels that are scored [K, H, W], their label, their image)."""
    image, label = read_image(file.path), read_label(file.label)
    reco = config.protocol == "reco"  # which truncates the long side
    whole = short_side_size(label.shape, config.short_side, truncated=reco)
    small = resize(image, whole)
    if reco:
        small = center_crop(small, config.crop)
        label = center_crop(resize_label(label, whole), config.crop)
        return one_window(segmenter, small)[0], label, small
    height, width = small.shape[:2]
    side = config.window if config.protocol == "sliding" else max(small.shape)
    down, across = min(side, height), min(side, width)
    tops = sorted({min(t, height - down) for t in range(0, height, config.stride)})
    lefts = sorted({min(left, width - across) for left in range(0, width, config.stride)})
    if config.protocol == "whole":
        tops, lefts = [0], [0]
        if segmenter.backbone_config.input_size is not None:  # squares, the last at the border
            down = across = min(height, width)
            tops, lefts = sorted({0, height - down}), sorted({0, width - across})
    total = torch.zeros((1, NUM_CLUSTERS, height, width), dtype=torch.float64)
    times = torch.zeros((height, width))
    for top in tops:
        for left in lefts:
            part = (slice(top, top + down), slice(left, left + across))
            total[(..., *part)] += one_window(segmenter, small[part])
            times[part] += 1
    return interpolated(total / times, label.shape)[0], label, image


def slow_table(clusters, label):
    table = np.zeros((NUM_CLUSTERS, NUM_CLASSES), dtype=np.int64)
    for cluster, true in zip(clusters.ravel(), label.ravel(), strict=True):
        if true != IGNORE:
            table[cluster, true] += 1
    return table


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_equal_the_slow_twins(segmenter, files, protocol):
    made, folder = segmenter
    config = PROTOCOLS[protocol]
    found = actor_of(folder, config)(examples_of(files, config))
    tables = found.tables
    assert (found.skipped, found.mistake, found.num_images) == ({}, None, 4)
    expected = np.zeros((NUM_CLUSTERS, NUM_CLASSES), dtype=np.int64)
    for file in files:
        logits, label, _ = slow_logits(made, file, config)
        expected += slow_table(logits.argmax(dim=0).numpy(), label)
    assert tables[0].sum() == expected.sum()
    assert len(np.unique(expected.nonzero()[0])) > 3  # of several clusters
    # ``whole`` is resized at once, the twin by way of the image's pixels: edges shift a little.
    allowed = 0.02 if protocol == "whole" else 0.001
    assert np.abs(tables[0] - expected).sum() / 2 <= allowed * expected.sum()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_after_the_crf_equal_the_slow_twins(segmenter, files, protocol):
    made, folder = segmenter
    config = dataclasses.replace(PROTOCOLS[protocol], crf=True, crf_clusters=NUM_CLUSTERS)
    counted = actor_of(folder, config)(examples_of(files, config))
    found = count_sharpened(counted, scoring=scoring_of(config))
    tables = found.tables
    assert (found.mistake, found.num_images) == (None, 4)
    expected = np.zeros((NUM_CLUSTERS, NUM_CLASSES), dtype=np.int64)
    for file in files:
        logits, label, image = slow_logits(made, file, config)
        unary = (logits / 0.3).log_softmax(dim=0).float().numpy()
        expected += slow_table(dense_crf(image, unary).argmax(axis=0), label)
    assert tables[1].sum() == tables[0].sum() == expected.sum()
    assert np.abs(tables[1] - expected).sum() / 2 <= 0.03 * expected.sum()
    config = PROTOCOLS[protocol]
    plain = actor_of(folder, config)(examples_of(files, config))
    np.testing.assert_array_equal(tables[0], plain.tables[0])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_batches_do_not_matter(segmenter, files, protocol):
    _, folder = segmenter
    tables = []
    for batch_size in (1, 2, 8):
        config = dataclasses.replace(PROTOCOLS[protocol], batch_size=batch_size)
        tables.append(actor_of(folder, config)(examples_of(files, config)).tables)
    for table in tables[1:]:
        assert np.abs(table - tables[0]).sum() <= 4  # rounding may turn a tie


def test_images_of_one_size_are_one_batch(segmenter, files, monkeypatch):
    _, folder = segmenter
    actor = actor_of(folder, PROTOCOLS["whole"])
    seen, taps = [], actor.segmenter.taps
    monkeypatch.setattr(actor.segmenter, "taps", lambda p: seen.append(p.shape) or taps(p))
    actor(examples_of(files, PROTOCOLS["whole"]))
    squares = 1 if actor.segmenter.backbone_config.input_size is None else 2
    assert sorted(shape[0] for shape in seen) == [squares, squares, 2 * squares]
    seen.clear()
    actor.scoring = scoring_of(PROTOCOLS["sliding"])
    actor(examples_of(files[:1], PROTOCOLS["sliding"]))  # two by three windows, 3 a time
    side = actor.segmenter.backbone_config.input_size or 48
    assert seen == [(3, side, side, 3)] * 2


def test_what_is_wrong_is_carried_on(segmenter, files, tmp_path):
    _, folder = segmenter
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    bad = dataclasses.replace(files[0], name="bad.jpg", path=str(tmp_path / "bad.jpg"))
    config = dataclasses.replace(PROTOCOLS["reco"], crf=True)
    actor, scoring = actor_of(folder, config), scoring_of(config)
    found = count_sharpened(actor(examples_of([bad, files[1]], config)), scoring=scoring)
    assert list(found.skipped) == ["bad.jpg"]
    assert (found.mistake, found.num_images) == (None, 2)
    assert found.tables.sum() > 0

    Image.fromarray(np.full((96, 128), 77, np.uint8)).save(tmp_path / "77.png")
    wrong = dataclasses.replace(files[0], name="wrong.jpg", label=str(tmp_path / "77.png"))
    found = count_sharpened(actor(examples_of([wrong], config)), scoring=scoring)
    assert found.mistake is not None
    assert "label of wrong.jpg holds 77" in found.mistake
