"""assign: from clusters and labels to a contingency table, a matching and the scores."""
