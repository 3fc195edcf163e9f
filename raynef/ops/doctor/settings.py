"""What the environment tells Ray: its token, and where it is."""

import os
import stat
from pathlib import Path

from raynef.ops.doctor.finding import Finding

_OPEN = (
    "whoever reaches Ray's ports, which listen on all interfaces, can run code here as this user"
)


def token_finding() -> Finding:
    """Whether Ray asks for a token, and whether others can read it."""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode.lower() == "disabled":
        return Finding(
            "Ray's token", "warn", f"RAY_AUTH_MODE={mode}: {_OPEN}", "unset RAY_AUTH_MODE"
        )
    if mode and mode.lower() != "token":
        return Finding(
            "Ray's token",
            "warn",
            f"RAY_AUTH_MODE={mode}, which raynef does not know",
            "export RAY_AUTH_MODE=token",
        )
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Finding("Ray's token", "ok", "asked for; given by RAY_AUTH_TOKEN")
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(given) if given else Path.home() / ".ray" / "auth_token"
    if not file.is_file():
        if given:
            return Finding(
                "Ray's token",
                "fail",
                f"RAY_AUTH_TOKEN_PATH names {file}, which is not there",
                "copy the cluster's token to it, or unset the variable",
            )
        return Finding("Ray's token", "ok", f"none yet: Ray's first start makes {file}")
    return _file_finding(file)


def _file_finding(file: Path) -> Finding:
    found = file.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        return Finding(
            "Ray's token",
            "fail",
            f"others can read {file} (mode {mode:04o}), and with it run code here as this user",
            f"chmod 600 {file}",
        )
    if not file.read_text(encoding="utf-8").strip():
        return Finding("Ray's token", "fail", f"{file} is empty", "ray get-auth-token --generate")
    return Finding("Ray's token", "ok", f"asked for; in {file} (mode {mode:04o})")


def address_finding() -> Finding:
    """Whether commands without ``--address`` would meet another Ray than one of their own."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Finding("RAY_ADDRESS", "ok", "not set: commands start a Ray of their own")
    return Finding(
        "RAY_ADDRESS",
        "warn",
        f"{address}: Ray goes there even where no --address is given",
        f"unset RAY_ADDRESS, and give --address {address} where it is meant",
    )
