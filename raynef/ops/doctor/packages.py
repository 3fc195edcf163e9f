"""Versions: what is installed, beside what raynef's metadata asks for."""

import importlib.metadata
import platform
from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from raynef.ops.doctor.finding import Finding

_INSTEAD = {"faiss-cpu": ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11")}
"""Packages that bring the same module."""


def package_findings() -> list[Finding]:
    """Python, raynef, and every package that raynef requires without an extra."""
    try:
        metadata = importlib.metadata.metadata("raynef")
    except importlib.metadata.PackageNotFoundError:
        found = "runs from a folder and is not installed, so that versions cannot be checked"
        return [Finding("raynef", "warn", found, "pip install . in that folder")]
    required = [Requirement(line) for line in importlib.metadata.requires("raynef") or ()]
    return [
        python_finding(platform.python_version(), metadata["Requires-Python"]),
        Finding("raynef", "ok", metadata["Version"]),
        *(
            package_finding(requirement)
            for requirement in required
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ),
    ]


def python_finding(version: str, wanted: str | None) -> Finding:
    """Whether this Python is one that raynef runs on."""
    if wanted is None or SpecifierSet(wanted).contains(version, prereleases=True):
        return Finding("python", "ok", version)
    found = f"{version}, but {wanted} is required"
    return Finding("python", "fail", found, f"use a Python {wanted}")


def package_finding(requirement: Requirement) -> Finding:
    """Whether a package is there, in a version that will do."""
    version = _version_of((requirement.name, *_INSTEAD.get(requirement.name, ())))
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    wanted = f"{requirement.name}{extras}{requirement.specifier}"
    install = f"pip install '{wanted}'"
    if version is None:
        return Finding(requirement.name, "fail", "is not installed", install)
    name, number = version
    found = number if name == requirement.name else f"{name} {number}"
    if name == requirement.name and not requirement.specifier.contains(number, prereleases=True):
        wants = f"{found}, but {requirement.specifier} is required"
        return Finding(requirement.name, "fail", wants, install)
    return Finding(requirement.name, "ok", found)


def _version_of(names: Sequence[str]) -> tuple[str, str] | None:
    """The first of some packages that is installed, with its version."""
    for name in names:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
