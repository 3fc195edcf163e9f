"""Deep Spectral Methods on Ray: features, eigenpairs, and what is read off them."""

RECORD = "spectral.json"
"""In a STORE: its recipe, and where its features and eigenpairs lie."""
