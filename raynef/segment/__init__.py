"""segment: from patch logits to cluster maps at the size of the image."""
