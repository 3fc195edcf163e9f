"""Packages that extras bring."""

import contextlib
import importlib.util


def has_package(name: str) -> bool:
    """Whether a package is installed; it is not imported."""
    with contextlib.suppress(ImportError, ValueError):  # ValueError: a module without a spec
        return importlib.util.find_spec(name) is not None
    return False
