"""Deep Spectral Methods on Ray: features, eigenpairs, and what is read off them."""
