"""ψ trained on the clusterings of several teachers: against a plain twin, alone and on workers."""

import dataclasses

import pytest
import torch

from raynef.assign.teachers import Teachers
from raynef.config.recipe import Eigen, Recipe, Train, check
from raynef.core.errors import NonFiniteLossError, UserError
from raynef.models.heads import first_outputs
from raynef.models.training import Trainer, build_psi
from tests.unit.models.test_training import planted

RECIPE = Recipe(
    eigen=Eigen(num_eigenfunctions=4, objective="clusterings", network="convolution"),
    train=Train(batch_size=8, precision="float32"),
)
CONTEXTS = (0.0, 0.3)


def teachers(dim=12, seed=0):
    """Of the planted blocks: their true centers, and others nearby."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q[:4]
    whole = torch.cat((centers, torch.zeros(4, dim)), dim=1)
    nearby = whole + 0.05 * torch.randn(whole.shape, generator=generator)
    return Teachers(torch.stack((whole, nearby)), CONTEXTS, temperature=0.1)


def trainer(recipe=RECIPE, **options):
    recipe = dataclasses.replace(
        recipe, teachers=dataclasses.replace(recipe.teachers, contexts=CONTEXTS)
    )
    options = {"in_dim": 36, "num_steps": 40, "teachers": teachers(), **options}
    return Trainer(recipe, **options)


@pytest.mark.parametrize("network", ["convolution", "attention"])
def test_it_learns_what_its_teachers_say(network):
    recipe = dataclasses.replace(
        RECIPE,
        eigen=dataclasses.replace(RECIPE.eigen, network=network),
        train=Train(batch_size=8, lr=5e-3, precision="float32"),
    )
    learner, (batch, truth) = trainer(recipe), planted(8)
    records = [learner.step(batch, range(8), epoch=step) for step in range(40)]
    assert records[0].loss == pytest.approx(torch.tensor(4.0).log().item(), abs=0.5)
    wanted = teachers().soft_clusters(batch.taps[:, -1], batch.valid.flatten(1))
    least = -(wanted * wanted.clamp_min(1e-9).log()).sum(dim=-1).mean().item()  # their entropy
    assert least < records[-1].loss < least + (records[0].loss - least) / 4
    assert records[-1].patches == 8 * 36
    assert set(records[0].as_dict()).isdisjoint({"trace", "penalty", "columns_below_1"})
    with torch.no_grad():
        clusters = first_outputs(learner.psi.eval(), 4)(batch.taps).argmax(dim=-1)
    assert (clusters == truth).float().mean() > 0.97  # the first teacher's centers are the blocks'


def test_the_loss_is_the_mean_cross_entropy():
    """Twin: one patch and one teacher at a time, in float64; padding is no patch."""
    learner, (batch, _) = trainer(), planted(3)
    batch.valid[1, 4:] = False
    rows = batch.valid.flatten(1)
    loss = learner.step(batch, range(3), epoch=0).loss
    fresh = build_psi(learner.recipe, 36)
    logits = fresh(batch.taps, rows, (6, 6)).detach().double().unflatten(-1, (2, 4))
    wanted = teachers().soft_clusters(batch.taps[:, -1], rows).double()
    terms = torch.stack(
        [
            -(wanted[image, patch, teacher] * logits[image, patch, teacher].log_softmax(0)).sum()
            for image, patch in rows.nonzero().tolist()
            for teacher in range(2)
        ]
    )
    assert loss == pytest.approx(terms.mean().item(), rel=1e-5)


def test_of_a_shifted_view_the_goal_is_that_of_the_image_itself():
    batch, _ = planted(4)
    other, _ = planted(4, seed=5)
    alone, told = (trainer().step(batch, range(4), epoch=0, reference=r) for r in (None, other))
    same = trainer().step(batch, range(4), epoch=0, reference=batch)
    assert alone.loss == same.loss
    assert abs(told.loss - alone.loss) > 1e-3


def test_a_batch_without_a_patch_changes_nothing():
    batch, _ = planted(2)
    batch.valid[:] = False
    learner = trainer()
    before = {name: value.clone() for name, value in learner.psi.state_dict().items()}
    record = learner.step(batch, range(2), epoch=0)
    assert record.patches == 0
    assert record.loss == 0
    assert all(torch.equal(v, before[name]) for name, v in learner.psi.state_dict().items())


def test_a_loss_that_is_not_finite_stops():
    batch, _ = planted(2)
    batch.taps[0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteLossError, match="step 0"):
        trainer().step(batch, range(2), epoch=0)


def test_it_needs_teachers():
    with pytest.raises(ValueError, match="needs teachers"):
        trainer(teachers=None)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"features": "streamed"}, "train.features must be stored where eigen.objective is clust"),
        ({"leak_labels": True}, "train.leak_labels must be off where eigen.objective is clusteri"),
    ],
)
def test_what_does_not_go_together_is_one_line(field, message):
    with pytest.raises(UserError, match=message):
        check(dataclasses.replace(RECIPE, train=dataclasses.replace(RECIPE.train, **field)))


@pytest.mark.parametrize("contexts", [(), (0.3, -1.0)])
def test_weights_of_teachers(contexts):
    chosen = dataclasses.replace(RECIPE.teachers, contexts=contexts)
    with pytest.raises(UserError, match=r"teachers.contexts must be one weight >= 0 or more"):
        check(dataclasses.replace(RECIPE, teachers=chosen))
