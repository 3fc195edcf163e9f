"""All checks of ``raynef doctor``, in order, with the words and the result."""

import dataclasses
import logging
import time
from collections import Counter
from typing import Any

from raynef.ops.doctor.finding import Finding, findings_of
from raynef.ops.doctor.libraries import library_findings
from raynef.ops.doctor.machine import (
    cores_finding,
    here_finding,
    memory_finding,
    open_files_finding,
    shared_memory_finding,
    temp_finding,
)
from raynef.ops.doctor.settings import address_finding, token_finding

logger = logging.getLogger("raynef")


def doctor(*, address: str | None = None) -> dict[str, Any]:
    """Check the machine, and a cluster where one is given; the result of ``raynef doctor``.

    Without an address no Ray is started or joined.

    Returns:
        ``checks``: name, verdict (ok, warn, fail), found and advice of each; ``ok``: whether none
        failed.
    """
    started = time.monotonic()
    checks = [
        ("packages", _packages),
        ("cores", cores_finding),
        ("memory", memory_finding),
        ("shared memory", shared_memory_finding),
        ("Ray's folder", temp_finding),
        ("this folder", here_finding),
        ("open files", open_files_finding),
        ("libraries", library_findings),
        ("Ray's token", token_finding),
        ("RAY_ADDRESS", address_finding),
    ]
    if address is not None:
        checks.append(("cluster", lambda: _cluster(address)))
    findings: list[Finding] = []
    for name, check in checks:
        found = findings_of(name, check)
        for finding in found:
            _say(finding)
        findings += found
    counts = Counter(finding.verdict for finding in findings)
    if counts["fail"] or counts["warn"]:
        logger.info("%d failed, %d to look at", counts["fail"], counts["warn"])
    else:
        logger.info("everything is in order")
    return {
        "ok": not counts["fail"],
        "checks": [dataclasses.asdict(finding) for finding in findings],
        "seconds": round(time.monotonic() - started, 2),
    }


def _packages() -> list[Finding]:
    from raynef.ops.doctor.packages import package_findings  # needs a package of its own

    return package_findings()


def _cluster(address: str) -> list[Finding]:
    from raynef.ops.doctor.cluster import cluster_findings  # imports Ray

    return cluster_findings(address)


def _say(finding: Finding) -> None:
    logger.info("%-5s %-14s %s", finding.verdict, finding.name, finding.found)
    if finding.advice:
        logger.info("%-5s %-14s -> %s", "", "", finding.advice)
