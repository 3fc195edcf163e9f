"""The objective as one number that runs are compared by."""

from raynef.config.recipe import Recipe


def share_of_bound(recipe: Recipe, loss: float) -> float:
    """−L / (K·(1 + α)), by which runs are compared without a label.

    Of unit columns u, the share that trace(uᵀκu) has of its upper bound, less the penalty. At most
    1, and larger is better; for one K and α it orders runs as L does. Between other K or α it
    favors the easier graph: fewer eigenfunctions have larger eigenvalues on the average.
    """
    return -loss / (recipe.eigen.num_eigenfunctions * (1 + recipe.graph.alpha))
