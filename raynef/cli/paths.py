"""Paths as the user means them: as seen from where the command runs."""

import dataclasses
import os

from raynef.config.recipe import Recipe
from raynef.io.storage import absolute, is_address


def absolute_paths(config: Recipe) -> Recipe:
    """Paths as seen from here, for workers with another working directory and for resuming."""
    data, backbone, train = config.data, config.backbone, config.train
    if data.root:
        root = absolute(data.root)
        root = root if is_address(root) else os.path.normpath(root)
        data = dataclasses.replace(data, root=root)
    if backbone.weights and backbone.weights not in ("hub", "bundled"):
        backbone = dataclasses.replace(backbone, weights=os.path.abspath(backbone.weights))
    if train.store:
        train = dataclasses.replace(train, store=os.path.abspath(train.store))
    return dataclasses.replace(config, data=data, backbone=backbone, train=train)
