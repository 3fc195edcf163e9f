"""Files that prediction writes: one module a format, each with its record ``FORMAT``."""
