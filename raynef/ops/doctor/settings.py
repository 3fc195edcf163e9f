"""What the environment tells Ray: its token, and where it is."""

import os
import stat

from raynef.cluster.tokens import token_file
from raynef.ops.doctor.finding import Outcome, check

_OPEN = (
    "whoever reaches Ray's ports, which listen on all interfaces, can run code here as this user"
)


@check("Ray's token")
def token_finding() -> Outcome:
    """Whether Ray asks for a token, and whether others can read it."""
    mode, file = os.environ.get("RAY_AUTH_MODE", ""), token_file()
    if mode.lower() == "disabled":
        return "warn", f"RAY_AUTH_MODE={mode}: {_OPEN}", "unset RAY_AUTH_MODE"
    if mode and mode.lower() != "token":
        found = f"RAY_AUTH_MODE={mode}, which raynef does not know"
        return "warn", found, "export RAY_AUTH_MODE=token"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "ok", "asked for; given by RAY_AUTH_TOKEN"
    if not file.is_file():
        if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
            return "ok", f"none yet: Ray's first start makes {file}"
        found = f"RAY_AUTH_TOKEN_PATH names {file}, which is not there"
        return "fail", found, "copy the cluster's token to it, or unset the variable"
    rights = stat.S_IMODE(file.stat().st_mode)
    if rights & 0o077:
        found = (
            f"others can read {file} (mode {rights:04o}), and with it run code here as this user"
        )
        return "fail", found, f"chmod 600 {file}"
    if not file.read_text(encoding="utf-8").strip():
        return "fail", f"{file} is empty", "ray get-auth-token --generate"
    return "ok", f"asked for; in {file} (mode {rights:04o})"


@check("RAY_ADDRESS")
def address_finding() -> Outcome:
    """Whether commands without ``--address`` would meet another Ray than one of their own."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return "ok", "not set: commands start a Ray of their own"
    found = f"{address}: Ray goes there even where no --address is given"
    return "warn", found, f"unset RAY_ADDRESS, and give --address {address} where it is meant"
