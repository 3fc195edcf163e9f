"""The objective as one number that runs are compared by."""

from raynef.config.recipe import Recipe


def objective_of(recipe: Recipe, loss: float) -> float:
    """What a run is judged by without a label, larger being better.

    Of eigenfunctions −L / (K·(1 + α)): of unit columns u, the share that trace(uᵀκu) has of its
    upper bound, less the penalty. At most 1; for one K and α it orders runs as L does. Between
    other K or α it favors the easier graph: fewer eigenfunctions have larger eigenvalues on the
    average. Of clusterings the negative cross-entropy in nats, for one K and one set of teachers.
    """
    if recipe.eigen.objective == "clusterings":
        return -loss
    return -loss / (recipe.eigen.num_eigenfunctions * (1 + recipe.graph.alpha))
