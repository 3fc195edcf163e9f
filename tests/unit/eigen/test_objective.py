"""The objective and its closed-form gradient against the dense form and finite differences."""

import pytest
import torch

from raynef.eigen import eigenfunction_loss, eigenfunction_objective
from raynef.eigen.objective import default_beta, effective_beta
from raynef.graph import build_kernel
from tests.unit.graph.test_kernel import batch
from tests.unit.graph.twins import dense_kernel, dense_loss


def probabilities(rows, columns, *, seed=1, sharpness=2.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((rows, columns), generator=generator, dtype=dtype)
    return torch.softmax(sharpness * logits, dim=1)


@pytest.mark.parametrize("columns", [1, 5, 12])
@pytest.mark.parametrize("sharpness", [0.5, 8.0])  # all norms above 1; some dead, below 1
@pytest.mark.parametrize("beta_eff", [0.0, 8e-4, 2.0])
def test_loss_and_gradient_equal_the_dense_form(columns, sharpness, beta_eff):
    features, thumbnails = batch(2, 4, 5)
    kernel = build_kernel(features, thumbnails, num_neighbors=8, alpha=0.3)
    dense = dense_kernel(features, thumbnails, num_neighbors=8, alpha=0.3)
    psi = probabilities(40, columns, sharpness=sharpness)
    if sharpness == 8.0 and columns > 1:
        psi[:, 0] *= 1e-3  # a dead cluster: the norm must not inflate it

    fast, slow = psi.clone().requires_grad_(), psi.clone().requires_grad_()
    loss = eigenfunction_loss(fast, kernel, beta_eff=beta_eff)
    expected = dense_loss(slow, dense, beta_eff=beta_eff)
    loss.backward()
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert fast.grad is not None
    assert slow.grad is not None
    scale = slow.grad.abs().max()
    assert (fast.grad - slow.grad).abs().max() <= 1e-9 * scale


def test_float32_gradient_equals_the_dense_form():
    features, thumbnails = batch(2, 6, 6, 12)
    kernel = build_kernel(features.float(), thumbnails.float(), num_neighbors=12, alpha=0.3)
    dense = dense_kernel(features, thumbnails, num_neighbors=12, alpha=0.3)
    psi = probabilities(72, 8)
    fast, slow = psi.float().requires_grad_(), psi.clone().requires_grad_()
    eigenfunction_loss(fast, kernel, beta_eff=0.1).backward()
    dense_loss(slow, dense, beta_eff=0.1).backward()
    assert fast.grad is not None
    assert slow.grad is not None
    assert (fast.grad - slow.grad).abs().max() <= 1e-5 * slow.grad.abs().max()


def test_without_the_stop_gradient_term_it_is_a_true_gradient():
    """At β = 0 nothing is stopped, so finite differences must agree."""
    features, thumbnails = batch(1, 3, 3)
    kernel = build_kernel(features, thumbnails, num_neighbors=4, alpha=0.3)
    psi = 3 * probabilities(9, 4).requires_grad_()
    torch.autograd.gradcheck(
        lambda value: eigenfunction_loss(value, kernel, beta_eff=0.0), (psi,), atol=1e-7
    )


@pytest.mark.parametrize("sharpness", [0.5, 8.0])
def test_with_stop_gradient_off_it_is_a_true_gradient_at_any_beta(sharpness):
    features, thumbnails = batch(1, 4, 4)
    kernel = build_kernel(features, thumbnails, num_neighbors=5, alpha=0.3)
    psi = probabilities(16, 4, sharpness=sharpness).requires_grad_()

    def loss(value):
        return eigenfunction_loss(value, kernel, beta_eff=2.0, stop_gradient=False)

    torch.autograd.gradcheck(loss, (psi,), atol=1e-7)
    assert loss(psi).item() == pytest.approx(eigenfunction_loss(psi, kernel, beta_eff=2.0).item())


def test_the_penalty_is_asymmetric():
    """Column j is pushed off columns i < j only: column 0 feels no penalty (Eq. 5)."""
    features, thumbnails = batch(1, 4, 4)
    kernel = build_kernel(features, thumbnails, num_neighbors=5, alpha=0.3)
    gradients = []
    for beta_eff in (0.0, 5.0):
        psi = probabilities(16, 3).requires_grad_()
        eigenfunction_loss(psi, kernel, beta_eff=beta_eff).backward()
        gradients.append(psi.grad)
    assert torch.equal(gradients[0][:, 0], gradients[1][:, 0])
    assert not torch.allclose(gradients[0][:, 2], gradients[1][:, 2])


def test_terms_add_up_and_scale_with_the_upstream_gradient():
    features, thumbnails = batch(1, 4, 4)
    kernel = build_kernel(features, thumbnails, num_neighbors=5, alpha=0.3)
    psi = probabilities(16, 3).requires_grad_()
    terms = eigenfunction_objective(psi, kernel, beta_eff=0.5)
    assert terms.loss.item() == pytest.approx((terms.penalty - terms.trace).item())
    assert torch.allclose(terms.column_norms, psi.detach().norm(dim=0))
    (once,) = torch.autograd.grad(terms.loss, psi, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * terms.loss, psi)
    assert torch.allclose(thrice, 3 * once)


def test_beta_follows_the_paper():
    assert default_beta(256) == pytest.approx(0.08)
    assert default_beta(512) == pytest.approx(0.04)
    assert effective_beta(None, 256) == pytest.approx(8e-4)
    assert effective_beta(0.16, 256) == pytest.approx(1.6e-3)


@pytest.mark.parametrize(
    ("psi", "beta_eff", "message"),
    [
        (torch.rand(15, 3, dtype=torch.float64), 0.1, r"\[16, K\]"),
        (torch.rand(16, dtype=torch.float64), 0.1, r"\[16, K\]"),
        (torch.rand(16, 3, dtype=torch.float64), -1.0, "beta_eff"),
        (torch.rand(16, 3, dtype=torch.float32), 0.1, "float32"),
    ],
)
def test_names_what_is_wrong(psi, beta_eff, message):
    features, thumbnails = batch(1, 4, 4)
    kernel = build_kernel(features, thumbnails, num_neighbors=5, alpha=0.3)
    with pytest.raises(ValueError, match=message):
        eigenfunction_loss(psi, kernel, beta_eff=beta_eff)
