"""models: what is trained and kept."""
