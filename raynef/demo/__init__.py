"""demo: rendered scenes, and the command that shows everything on them."""
