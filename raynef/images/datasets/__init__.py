"""One file for each data set, and the registry that names them."""
