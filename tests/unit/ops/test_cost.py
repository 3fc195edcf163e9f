"""Sizes and times of a plan: arithmetic that grows where it must."""

import dataclasses

import numpy as np
import pytest

from raynef.config.recipe import Data, Eigen, Recipe, Train
from raynef.eigen.conv_psi import ConvPsi
from raynef.eigen.psi import AttentionPsi
from raynef.ops.cost import (
    Exchange,
    exchanges,
    object_store_bytes,
    psi_parameters,
    row_bytes,
    shapes_of,
    store_bytes,
    total,
    valid_share,
    worker_memory,
)
from raynef.ops.pace import (
    Layout,
    Rates,
    evaluation_stage,
    features_stage,
    moved,
    scan_stage,
    step_pieces,
    training_stage,
)

RATES = Rates(
    decode_images_per_second=50,
    extract_images_per_second=400,
    score_images_per_second=100,
    pairs_per_second=1e9,
    step_images_per_second=300,
    fixed_seconds=0.01,
    store_gb_per_second=1,
    write_gb_per_second=1,
    network_gb_per_second=10,
    message_seconds=1e-5,
)


def shapes(images=10_000, workers=1, **changes):
    recipe = Recipe(
        data=Data(crop=320, num_views=2),
        eigen=Eigen(num_eigenfunctions=64),
        train=Train(batch_size=16, epochs=3, num_workers=workers),
    )
    sizes = shapes_of(
        recipe,
        num_images=images,
        num_workers=workers,
        side=320,
        patch_size=16,
        dim=192,
        num_taps=3,
        valid=0.9,
        images_per_shard=36,
    )
    return dataclasses.replace(sizes, **changes)


def test_the_sizes_of_a_step():
    found = shapes(images=1000, workers=3)
    assert (found.grid, found.patches_per_view, found.slice_size) == (20, 400, 6)
    assert (found.num_patches, found.slice_patches) == (5760, 2160)
    assert (found.steps_per_epoch, found.steps) == (62, 186)
    assert shapes(images=5).batch_size == 5  # no more than there are


def test_the_store_has_a_row_for_each_image_and_view():
    found = shapes(images=1000)
    assert row_bytes(found) == pytest.approx(400 * (2 * 3 * 192 + 2 * 3 + 1), rel=0.005)
    assert store_bytes(found) == 1000 * 2 * row_bytes(found)


def test_a_ring_sends_all_but_its_own_share():
    assert Exchange("rows", "gather", 900).sent(3) == pytest.approx(600)
    assert Exchange("rows", "scatter", 900).sent(3) == pytest.approx(600)
    assert Exchange("sum", "reduce", 900).sent(3) == pytest.approx(1200)
    assert Exchange("sum", "reduce", 900).sent(1) == 0
    assert Exchange("sum", "reduce", 900).hops(3) == 4
    assert total(exchanges(shapes()), 1) == 0


def test_valid_share_is_that_of_drawn_scales():
    """Against 20,000 draws of the augmentation itself."""
    from raynef.images.augment import place

    data, draws = Data(short_side=320, crop=320), np.random.default_rng(0)
    whole = []
    for _ in range(20_000):
        extent = place((300, 400), data, draws).extent
        whole.append((extent[0] // 16) * (extent[1] // 16) / 400)
    share = valid_share(short_side=320, crop=320, scale=(0.5, 2.0), aspect=4 / 3, grid=20)
    assert share == pytest.approx(np.mean(whole), abs=0.01)
    assert valid_share(short_side=320, crop=320, scale=(1, 1), aspect=1, grid=20) == 1


def test_parameters_are_those_of_psi():
    for dim, num_out, blocks in ((64, 10, 2), (16, 60, 1)):  # the second head is not orthogonal
        psi = AttentionPsi(3 * dim, num_out, num_blocks=blocks)
        found = psi_parameters(shapes(dim=dim, num_eigenfunctions=num_out, num_blocks=blocks))
        assert found == sum(p.numel() for p in psi.parameters())


def test_parameters_are_those_of_convolutions_with_a_head_for_each_teacher():
    for dim, num_out, blocks, teachers in ((64, 10, 2, 4), (16, 60, 1, 1)):
        psi = ConvPsi(
            3 * dim, teachers * num_out, num_taps=3, num_blocks=blocks, orthogonal_head=False
        )
        changes = {"num_eigenfunctions": num_out, "num_teachers": teachers}
        found = shapes(dim=dim, num_blocks=blocks, network="convolution", **changes)
        assert psi_parameters(found) == sum(p.numel() for p in psi.parameters())


@pytest.mark.parametrize("streamed", [False, True])
def test_more_images_take_longer_and_more(streamed):
    layout = Layout(devices=2, cores=16, apart=True)
    small, large = shapes(images=10_000), shapes(images=40_000)
    for stage in (features_stage, scan_stage):
        ratio = stage(large, RATES, layout).seconds / stage(small, RATES, layout).seconds
        assert ratio == pytest.approx(4)
    before = training_stage(small, RATES, layout, streamed=streamed)
    after = training_stage(large, RATES, layout, streamed=streamed)
    assert after.seconds == pytest.approx(4 * before.seconds)
    more, less = (moved(size, streamed=streamed) for size in (large, small))
    assert more["sent_per_worker"] >= less["sent_per_worker"]
    assert (more["store"] > less["store"]) is not streamed
    assert (more["read"] > less["read"]) is not streamed


def test_more_devices_take_less():
    seconds = {}
    for devices in (1, 2, 4, 8):
        layout = Layout(devices=devices, cores=8 * devices, apart=True)
        sizes = shapes(workers=devices)
        pieces = step_pieces(sizes, RATES, layout)
        seconds[devices] = (
            features_stage(sizes, RATES, layout).seconds,
            pieces["graph"] + pieces["kernel_and_psi"],
            evaluation_stage(5000, RATES, layout, together=1).seconds,
        )
    for stage in range(3):
        times = [seconds[devices][stage] for devices in (1, 2, 4, 8)]
        assert times == sorted(times, reverse=True)
        assert times[0] == pytest.approx(8 * times[3], rel=0.01)
    assert step_pieces(shapes(workers=8), RATES, layout)["communication"] > 0


def test_what_is_slow_is_named():
    layout = Layout(devices=1, cores=16, apart=True)
    slow = {
        "decode": {"decode_images_per_second": 0.01},
        "backbone": {"extract_images_per_second": 0.01},
        "store_write": {"write_gb_per_second": 1e-6},
    }
    for name, change in slow.items():
        stage = features_stage(shapes(), dataclasses.replace(RATES, **change), layout)
        assert stage.limit == name
        assert stage.seconds == pytest.approx(stage.pieces[name])
    slow = {
        "graph": {"pairs_per_second": 1e3},
        "kernel_and_psi": {"step_images_per_second": 1e-3},
        "fixed": {"fixed_seconds": 1e3},
        "communication": {"network_gb_per_second": 1e-6},
        "store_read": {"store_gb_per_second": 1e-6},
    }
    for name, change in slow.items():
        stage = training_stage(
            shapes(workers=2), dataclasses.replace(RATES, **change), layout, streamed=False
        )
        assert stage.limit == name


def test_cores_alone_share_and_gpus_work_beside():
    sizes = shapes()
    together = features_stage(sizes, RATES, Layout(devices=1, cores=2, apart=False))
    apart = features_stage(sizes, RATES, Layout(devices=1, cores=2, apart=True))
    assert together.seconds == pytest.approx(sum(together.pieces.values()))
    assert apart.seconds == pytest.approx(max(apart.pieces.values()))
    crowded = step_pieces(shapes(workers=4), RATES, Layout(1, 2, apart=False, oversubscription=2))
    roomy = step_pieces(shapes(workers=4), RATES, Layout(1, 4, apart=False))
    assert crowded["graph"] == pytest.approx(2 * roomy["graph"])
    assert crowded["communication"] == roomy["communication"]


def test_a_stated_step_stands_for_its_pieces():
    stated = dataclasses.replace(RATES, step_seconds=8.0)
    pieces = step_pieces(shapes(workers=4), stated, Layout(4, 4, apart=True))
    assert pieces["step"] == 2.0
    assert not {"graph", "kernel_and_psi", "fixed"} & pieces.keys()


def test_memory_grows_with_the_batch_and_gathered_features_do_not_shrink():
    one, eight = worker_memory(shapes(workers=2)), worker_memory(shapes(workers=8))
    assert eight["psi"] * 4 == one["psi"]
    assert eight["kernel"] < one["kernel"]
    assert eight["gathered_features"] > 0.8 * one["gathered_features"]
    assert eight["u_and_κu"] == one["u_and_κu"]
    larger = worker_memory(shapes(workers=2, batch_size=160))
    assert all(larger[name] >= one[name] for name in one)
    stored = object_store_bytes(shapes(), streamed=False, cores=8, actors=1)
    assert object_store_bytes(shapes(), streamed=False, cores=16, actors=1) > stored
    assert object_store_bytes(shapes(), streamed=True, cores=8, actors=1) < stored
