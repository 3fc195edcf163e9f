"""``raynef spectral …``: Deep Spectral Methods, what the exact eigenvectors of each image show."""
