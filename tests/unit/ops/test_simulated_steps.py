"""Simulated steps of many workers, beside what can be reckoned by hand."""

import numpy as np
import pytest

from raynef.config.recipe import Eigen, Recipe
from raynef.ops.cost import exchanges, total
from raynef.ops.cost import shapes_of as sizes_of
from tests.benchmarks.simulated_steps import (
    Network,
    Phase,
    Slice,
    fitted,
    shardings,
    simulate,
    slices_of,
    with_workers,
)

STEADY = np.ones(1)
FREE = Network(0.0, dict.fromkeys(("gather", "reduce", "scatter"), 1e30))


def shapes(workers=1, batch_size=16):
    made = sizes_of(
        Recipe(eigen=Eigen(num_eigenfunctions=128)),
        dim=192,
        num_images=64,
        num_workers=1,
        valid=1.0,
        side=320,
        patch_size=16,
        num_taps=3,
        images_per_shard=16,
    )
    return with_workers(made, workers, batch_size=batch_size)


def test_slices_share_the_batch():
    slices = slices_of(shapes(3))
    assert [slice_.images for slice_ in slices] == [6, 5, 5]
    assert sum(slice_.own_rows for slice_ in slices) == slices[0].rows == 6400


def test_a_phase_is_fitted_from_its_own_seconds():
    truth = Phase("u", np.array([0.1, 0.02, 3e-9, 1e-6]))
    slices = [Slice(b, b * 400, n) for b in (1, 2, 6) for n in (2400, 6400, 25600)]
    seconds = [truth.seconds(slice_).sum() for slice_ in slices]
    assert np.allclose(fitted("u", slices, seconds).coefficients, truth.coefficients, rtol=1e-3)


def test_without_a_network_and_noise_images_divide_and_constants_do_not():
    phases = [Phase("u", np.array([1.0, 0.0, 0.0, 0.0])), Phase("end", np.array([0, 0.5, 0, 0]))]
    alone, eight = (simulate(shapes(w), phases, FREE, noise=STEADY, steps=3) for w in (1, 8))
    assert alone.seconds == pytest.approx(1 + 16 * 0.5)
    assert eight.seconds == pytest.approx(1 + 2 * 0.5)
    assert eight.beyond(alone, 1 / 8) == "fixed"
    crowded = simulate(shapes(8), phases, FREE, noise=STEADY, steps=3, cores=2)
    assert crowded.seconds == pytest.approx(4 * eight.seconds)


def test_an_exchange_costs_its_messages_and_bytes_once():
    phases = [Phase(exchange.what, np.zeros(4)) for exchange in exchanges(shapes(8))]
    network = Network(1e-4, dict.fromkeys(("gather", "reduce", "scatter"), 2.0))
    step = simulate(shapes(8), phases, network, noise=STEADY, steps=2)
    hops = sum(exchange.hops(8) for exchange in exchanges(shapes(8)))
    assert step.parts["messages"] == pytest.approx(hops * 1e-4)
    assert step.parts["bytes"] == pytest.approx(total(exchanges(shapes(8)), 8) / 2e9)
    assert step.seconds == pytest.approx(sum(step.parts.values()))
    assert simulate(shapes(1), phases, network, noise=STEADY, steps=2).seconds == 0


def test_the_more_workers_the_longer_the_wait_for_the_slowest():
    phases = [Phase("u", np.array([1.0, 0.0, 0.0, 0.0]))]
    noise = np.array([0.9, 1.1])
    waits = [simulate(shapes(w), phases, FREE, noise=noise).parts["waiting"] for w in (1, 2, 16)]
    assert waits[0] == pytest.approx(0, abs=0.02)
    assert waits[1] == pytest.approx(0.05, abs=0.02)  # the larger of two
    assert waits[2] == pytest.approx(0.1, abs=0.001)


def test_rows_send_what_the_plan_says():
    planned = total([e for e in exchanges(shapes(8)) if e.what != "row counts"], 8)
    found = shardings(shapes(8))
    assert found["rows"]["sent"] == pytest.approx(planned, rel=1e-4)  # without the statistics
    assert found["ring"]["sent"] == found["rows"]["sent"]
    assert found["ring"]["held"] == found["rows"]["held"] / 4
