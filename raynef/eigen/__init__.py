"""eigen: neural eigenfunctions ψ, their objective, and exact eigensolvers."""

from raynef.eigen.objective import eigenfunction_loss, eigenfunction_objective

__all__ = ["eigenfunction_loss", "eigenfunction_objective"]
