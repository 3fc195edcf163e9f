"""cluster: all that talks to Ray in general, and the collectives. It imports no stage."""
