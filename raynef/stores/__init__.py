"""stores: a folder format each, as it is written and read back."""
