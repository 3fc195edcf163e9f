"""The training step without Ray: it learns, it stops on NaN, it goes on from its state."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from raynef.config.recipe import Eigen, Graph, Recipe, Train
from raynef.core.errors import NonFiniteLossError
from raynef.eigen.gumbel import gumbel_noise
from raynef.features.extract import Features
from raynef.models.training import Trainer, global_batches, slice_of
from raynef.ops.rates import drawn_teachers
from tests.known import present
from tests.unit.graph.twins import dense_kernel, dense_loss


def planted(num_images, *, side=6, dim=12, blocks=4, noise=0.25, seed=0):
    """Images whose patches belong to planted blocks: a feature and a color for each block."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q[:blocks]
    colors = torch.rand(blocks, 3, generator=torch.Generator().manual_seed(99))
    truth = torch.randint(0, blocks, (num_images, 2, 2), generator=generator)
    truth = truth.repeat_interleave(side // 2, 1).repeat_interleave(side // 2, 2)
    features = centers[truth.flatten(1)]
    taps = torch.stack([features] * 3, dim=1)
    taps = taps + noise * torch.randn(taps.shape, generator=generator) / dim**0.5
    valid = torch.ones(truth.shape, dtype=torch.bool)
    return Features(taps, colors[truth], valid), truth.flatten(1)


def small_recipe(**train):
    return Recipe(
        graph=Graph(num_neighbors=24),
        eigen=Eigen(num_eigenfunctions=4),
        train=Train(**{"batch_size": 8, "precision": "float32", **train}),
    )


def test_recovers_planted_blocks():
    """A graph of four blocks and four eigenfunctions: each block gets a cluster of its own."""
    centers_seed = 0
    steps = 60
    trainer = Trainer(small_recipe(), in_dim=36, num_steps=steps)
    batch, truth = planted(8, seed=centers_seed)
    metrics = [trainer.step(batch, range(8), epoch=step) for step in range(steps)][-1]
    with torch.no_grad():
        clusters = trainer.psi.eval()(batch.taps).argmax(dim=-1)
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (clusters.flatten().numpy(), truth.flatten().numpy()), 1)
    purity = table.max(axis=1).sum() / table.sum()
    assert sorted(table.argmax(axis=1)) == [0, 1, 2, 3]
    assert purity > 0.98
    assert metrics.clusters_in_use == 4
    # The best that four disjoint clusters can do is near the number of blocks times ‖κ‖ ≈ 1.
    assert present(metrics.trace) > 3.5


def test_bfloat16_stays_near_float32_and_its_weights_are_float32():
    batch, _ = planted(8)
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(small_recipe(precision=precision), in_dim=36, num_steps=20)
        losses[precision] = [trainer.step(batch, range(8), epoch=e).loss for e in range(20)]
        assert all(p.dtype == torch.float32 for p in trainer.psi.parameters())
    assert losses["bfloat16"] != losses["float32"]  # it was indeed computed in another precision
    assert np.allclose(losses["bfloat16"], losses["float32"], rtol=0.05, atol=0.02)


WAITED_FOR = frozenset(
    getattr(torch.ops.aten, name)
    for name in ("_local_scalar_dense", "nonzero", "_unique2", "bincount", "masked_select")
)
"""Of these a GPU has to tell how large their result is, or what it is."""


INDEXED = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_}


class Dispatches(TorchDispatchMode):
    """Counts what torch runs: operations that compute, and numbers that the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.computing, self.waits = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.computing += not any(
            r.alias_info and not r.alias_info.is_write for r in func._schema.returns
        )
        by_mask = func.overloadpacket in INDEXED and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.waits += by_mask or func.overloadpacket in WAITED_FOR
        return func(*args, **(kwargs or {}))


def test_a_step_is_few_operations_and_waits_seldom_for_the_device(one_thread):
    """On a GPU each operation is a launch, and each wait leaves it without work."""
    counted = {}
    for images, clusters in ((4, 4), (16, 64)):
        recipe = Recipe(
            graph=Graph(search="blocks"),  # a GPU's auto
            eigen=Eigen(num_eigenfunctions=clusters),
            train=Train(batch_size=images),
        )
        trainer, (batch, _) = Trainer(recipe, in_dim=96, num_steps=3), planted(images, dim=32)
        batch.valid[1, :2] = False
        trainer.step(batch, range(images), epoch=0)
        with Dispatches() as counts:
            trainer.step(batch, range(images), epoch=1)
        counted[images] = counts
    assert counted[16].computing <= 500
    # Of each image alone its noise is drawn; all else is done for all images at once.
    assert counted[16].computing - counted[4].computing <= 12 + 5
    # Which edges of pixels are real, and which of these differ; then the record, in one copy.
    assert counted[16].waits == counted[4].waits == 2


def test_a_step_of_clusterings_waits_for_its_record_alone(one_thread):
    eigen = Eigen(num_eigenfunctions=4, objective="clusterings", network="convolution")
    recipe, (batch, _) = Recipe(eigen=eigen, train=Train(batch_size=8)), planted(8)
    batch.valid[1, :2] = False
    trainer = Trainer(recipe, in_dim=36, num_steps=3, teachers=drawn_teachers(recipe, 12))
    trainer.step(batch, range(8), epoch=0)
    with Dispatches() as counts:
        trainer.step(batch, range(8), epoch=1)
    assert counts.waits == 0
    assert counts.computing <= 300


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_device_has_it(native, expected, monkeypatch):
    monkeypatch.setattr("raynef.features.precision.has_bfloat16", lambda device: native)
    batch, _ = planted(8)
    losses = {}
    for precision in ("auto", expected):
        trainer = Trainer(small_recipe(precision=precision), in_dim=36, num_steps=3)
        losses[precision] = [trainer.step(batch, range(8), epoch=e).loss for e in range(3)]
    assert losses["auto"] == losses[expected]


@pytest.mark.parametrize("leak", [False, True])
def test_a_batch_without_a_valid_patch_changes_nothing_but_the_schedule(leak):
    """Crops of images smaller than a patch: there is no graph, and nothing to learn from it."""
    batch, _ = planted(8)
    empty = Features(batch.taps, batch.thumbnails, torch.zeros_like(batch.valid))
    classes = 3 if leak else 0
    trainer = Trainer(small_recipe(), in_dim=36, num_steps=6, num_classes=classes)
    labels = torch.full((8, 36, 3), 1 / 3) if leak else None
    first = trainer.step(batch, range(8), epoch=0, labels=labels)
    before = {name: value.clone() for name, value in trainer.psi.state_dict().items()}
    skipped = trainer.step(empty, range(8), epoch=1, labels=labels)
    for name, value in trainer.psi.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert skipped.as_dict().keys() == first.as_dict().keys()
    assert (skipped.patches, skipped.loss, skipped.step) == (0, 0.0, 1)
    assert skipped.lr < first.lr
    after = trainer.step(batch, range(8), epoch=2, labels=labels)
    assert (after.step, after.patches) == (2, 288)


def test_state_goes_on_where_it_was():
    batch, _ = planted(8)
    whole = Trainer(small_recipe(), in_dim=36, num_steps=6)
    losses = [whole.step(batch, range(8), epoch=e).loss for e in range(6)]
    first = Trainer(small_recipe(), in_dim=36, num_steps=6)
    for epoch in range(3):
        first.step(batch, range(8), epoch=epoch)
    second = Trainer(small_recipe(seed=5), in_dim=36, num_steps=6)
    second.load_state_dict(first.state_dict())
    second.recipe, second.objective = first.recipe, first.objective
    rest = [second.step(batch, range(8), epoch=e).loss for e in range(3, 6)]
    assert rest == losses[3:]


def everything(trainer: Trainer) -> list[torch.Tensor]:
    moments = trainer.optimizer.state_dict()["state"].values()
    return [*trainer.psi.state_dict().values(), *(m for state in moments for m in state.values())]


@pytest.mark.parametrize("behind", [False, True])
def test_a_loss_that_is_not_finite_changes_no_weight(behind):
    """Nor what Adam remembers; on a device that runs behind it is read after the step was given."""
    batch, _ = planted(8)
    trainer = Trainer(small_recipe(), in_dim=36, num_steps=4)
    trainer.behind = behind
    trainer.step(batch, range(8), epoch=0)
    before = [value.clone() for value in everything(trainer)]
    taps = batch.taps.clone()
    taps[0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteLossError, match=r"step 1 \(epoch 1\) on rank 0"):
        trainer.step(Features(taps, batch.thumbnails, batch.valid), range(8), epoch=1)
    assert all(map(torch.equal, everything(trainer), before))


def test_a_device_that_runs_behind_trains_the_same():
    batch, _ = planted(8)
    trained = []
    for behind in (False, True):
        trainer = Trainer(small_recipe(weight_decay=0.1), in_dim=36, num_steps=4)
        trainer.behind = behind
        records = [trainer.step(batch, range(8), epoch=epoch) for epoch in range(4)]
        trained.append((records, everything(trainer)))
    assert trained[0][0] == trained[1][0]
    assert all(map(torch.equal, trained[0][1], trained[1][1]))


@pytest.mark.parametrize("context", [0.0, 0.4])
def test_a_step_is_the_loss_of_psis_noisy_softmax_on_the_graph_of_the_last_tap(context):
    """The second of three steps, with padding, every part of it written out."""
    recipe = Recipe(
        graph=Graph(num_neighbors=9, alpha=0.7, context=context),
        eigen=Eigen(num_eigenfunctions=4, beta=50.0),
        train=Train(batch_size=3, seed=2, precision="float32"),
    )
    images, batch = [5, 0, 9], planted(3)[0]
    taps, valid, generator = batch.taps, batch.valid, torch.Generator().manual_seed(1)
    taps[:, 0] = torch.randn(taps[:, 0].shape, generator=generator)
    thumbnails = torch.rand(batch.thumbnails.shape, generator=generator)  # no two alike: no ties
    valid[1, 4:] = False
    trainer = Trainer(recipe, in_dim=36, num_steps=3)
    trainer.step(Features(taps, thumbnails, valid), images, epoch=0)
    rows = valid.flatten(1)
    with torch.no_grad():
        logits = trainer.psi(taps, rows)
    noise = gumbel_noise(36, 4, seed=2, epoch=1, images=images)
    tau = 0.3 + 0.5 * (1 - 0.3)
    psi = ((logits + noise) / tau).softmax(dim=-1)[rows].double()
    points = taps[:, -1].double()
    if context:
        unit = functional.normalize(points, dim=-1)
        means = [functional.normalize(unit[i][rows[i]].mean(dim=0), dim=0) for i in range(3)]
        points = torch.cat((unit, context * torch.stack(means)[:, None].expand_as(unit)), dim=-1)
    kernel = dense_kernel(
        points[rows], thumbnails.double(), num_neighbors=9, alpha=0.7, valid=valid
    )
    expected = dense_loss(psi, kernel, beta_eff=0.01 * 50.0).item()
    metrics = trainer.step(Features(taps, thumbnails, valid), images, epoch=1)
    assert metrics.loss == pytest.approx(expected, rel=1e-4)


def test_the_learning_rate_is_that_of_the_weights():
    """At a rate of 0 nothing moves; before, everything does."""
    batch, _ = planted(8)
    trainer = Trainer(small_recipe(lr=1e-2, lr_end=0.0), in_dim=36, num_steps=2)
    moved = []
    for epoch in range(2):
        before = [parameter.detach().clone() for parameter in trainer.psi.parameters()]
        trainer.step(batch, range(8), epoch=epoch)
        pairs = zip(before, trainer.psi.parameters(), strict=True)
        moved.append(max(float((new.detach() - old).abs().max()) for old, new in pairs))
    assert moved[0] > 1e-3
    assert moved[1] == 0


def test_learning_rate_and_temperature_follow_their_cosine():
    batch, _ = planted(8)
    trainer = Trainer(small_recipe(lr=1e-2, lr_end=1e-4), in_dim=36, num_steps=3)
    metrics = [trainer.step(batch, range(8), epoch=e) for e in range(3)]
    assert [m.lr for m in metrics] == pytest.approx([1e-2, 5.05e-3, 1e-4])
    assert [m.tau for m in metrics] == pytest.approx([1.0, 0.65, 0.3])


def test_global_batches_are_a_partition_that_follows_from_seed_and_epoch():
    images = list(range(3, 38))
    batches = global_batches(images, batch_size=8, seed=1, epoch=2)
    assert [len(batch) for batch in batches] == [8, 8, 8, 8]  # 35 images: 3 are left out
    flat = np.concatenate(batches)
    assert len(set(flat.tolist())) == 32
    assert set(flat.tolist()) <= set(images)
    again = global_batches(images, batch_size=8, seed=1, epoch=2)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    other = global_batches(images, batch_size=8, seed=1, epoch=3)
    assert not np.array_equal(batches[0], other[0])


@pytest.mark.parametrize(("size", "workers"), [(16, 1), (16, 3), (5, 5), (7, 2)])
def test_slices_are_consecutive_and_even(size, workers):
    batch = np.arange(size)
    parts = [slice_of(batch, rank=rank, world_size=workers) for rank in range(workers)]
    assert np.array_equal(np.concatenate(parts), batch)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def leaky(**options):
    """The trainer of a recipe that lets labels in."""
    recipe = small_recipe(leak_labels=True)
    return Trainer(recipe, in_dim=36, num_steps=40, num_classes=2, **options)


def shares_of(truth, classes=(0, 1, 0, 1)):
    """Two classes of two blocks each, as shares of a patch."""
    return functional.one_hot(torch.tensor(classes)[truth], 2).float()


def test_leaked_labels_shape_the_trunk():
    batch, truth = planted(8)
    trainer, blind = leaky(), Trainer(small_recipe(), in_dim=36, num_steps=40)
    history = []
    for epoch in range(40):
        history.append(trainer.step(batch, range(8), epoch=epoch, labels=shares_of(truth)))
        blind.step(batch, range(8), epoch=epoch)
    assert history[0].cross_entropy > 0.5
    assert history[-1].cross_entropy < 0.05
    weights = trainer.psi.blocks.state_dict()
    assert any(not torch.equal(weights[n], w) for n, w in blind.psi.blocks.state_dict().items())


def test_the_leaked_loss_against_a_slow_twin(monkeypatch):
    """Cross-entropy of all labeled pixels of the batch, and (0.01/K)·L."""
    batch, truth = planted(4)
    batch.valid[1, 2:] = False
    shares = (
        shares_of(truth)
        * torch.rand(truth.shape, generator=torch.Generator().manual_seed(1))[..., None]
    )
    shares[0] = 0
    trainer, blind = leaky(), Trainer(small_recipe(), in_dim=36, num_steps=40)
    for other in (trainer, blind):
        # The gradient is looked at where it was made.
        monkeypatch.setattr(other.optimizer, "step", lambda: None)
    metrics = trainer.step(batch, range(4), epoch=0, labels=shares)
    alone = blind.step(batch, range(4), epoch=0)
    assert metrics.loss == alone.loss  # L itself does not know of labels

    valid = batch.valid.flatten(1)
    assert trainer.leak is not None
    logits = trainer.leak.head(trainer.psi.features(batch.taps, valid))
    total, weight = torch.zeros(()), torch.zeros(())
    for image, patch in valid.nonzero().tolist():
        for label in range(2):
            share = shares[image, patch, label]
            total = total + share * functional.cross_entropy(
                logits[image, patch], torch.tensor(label)
            )
            weight += float(share)
    assert metrics.cross_entropy == pytest.approx((total / weight).item(), rel=1e-4)
    supervised = torch.autograd.grad(total / weight, list(trainer.psi.blocks.parameters()))
    for name, found, own, leaked in zip(
        dict(trainer.psi.blocks.named_parameters()),
        trainer.psi.blocks.parameters(),
        blind.psi.blocks.parameters(),
        supervised,
        strict=True,
    ):
        expected = leaked + 0.01 / 4 * present(own.grad)
        scale = float(expected.abs().max()) + 1e-8
        assert float((present(found.grad) - expected).abs().max()) <= 1e-3 * scale, name


def test_a_leaky_state_goes_on_where_it_was():
    batch, truth = planted(8)
    shares = shares_of(truth)
    whole, first, second = leaky(), leaky(), leaky()
    expected = [whole.step(batch, range(8), epoch=e, labels=shares) for e in range(4)]
    for epoch in range(2):
        first.step(batch, range(8), epoch=epoch, labels=shares)
    second.load_state_dict(first.state_dict())
    for epoch in range(2, 4):
        assert second.step(batch, range(8), epoch=epoch, labels=shares) == expected[epoch]


def test_without_the_field_no_label_gets_in():
    """Labels given to a label-free trainer change no bit, and a leaky one insists on them."""
    batch, truth = planted(8)
    given, blind = (Trainer(small_recipe(), in_dim=36, num_steps=2) for _ in range(2))
    assert given.leak is None
    with pytest.raises(ValueError, match="labels were given"):
        given.step(batch, range(8), epoch=0, labels=shares_of(truth))
    blind.step(batch, range(8), epoch=0)
    with pytest.raises(ValueError, match="given no labels"):
        leaky().step(batch, range(8), epoch=0)


def test_weight_decay_is_decoupled_from_the_gradient():
    """After one step of Adam a weight differs by lr · decay · itself, and by nothing else."""
    batch, _ = planted(8)
    found = {}
    for decay in (0.0, 0.5):
        trainer = Trainer(small_recipe(weight_decay=decay, lr=1e-2), in_dim=36, num_steps=2)
        before = trainer.psi.norm.weight.detach().clone()
        trainer.step(batch, range(8), epoch=0)
        found[decay] = trainer.psi.norm.weight.detach()
    torch.testing.assert_close(found[0.0] - found[0.5], 1e-2 * 0.5 * before)
