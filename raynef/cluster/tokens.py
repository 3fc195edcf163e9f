"""Ray's token authentication: on wherever raynef starts a Ray, asked for wherever it joins one.

Who may talk to a Ray may run any code on it (CVE-2023-48022), and Ray's ports listen on all
interfaces. The token is what stands between. It is looked for in Ray's own order: RAY_AUTH_TOKEN,
then the file that RAY_AUTH_TOKEN_PATH names, then ~/.ray/auth_token.
"""

import contextlib
import ipaddress
import logging
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from raynef.cluster.private import IN_A_JOB
from raynef.core.errors import UserError

logger = logging.getLogger("raynef")

_HERE = ("auto", "local")


def ensure_token() -> None:
    """Have a token that its owner alone can read, before a Ray is started that would make one.

    Ray writes the file readable by all (0644, as of 2.60), so that it is made here: 0600 from its
    first moment, complete before it has its name. A file that is there is narrowed to its owner.
    Where no home can be written, the token lives in this process's environment.

    Raises:
        UserError: RAY_AUTH_TOKEN_PATH names a file that cannot be read, or an empty one.
    """
    if _opted_out():
        logger.warning(
            "RAY_AUTH_MODE=disabled: whoever reaches this machine's ports can run code in its Ray"
        )
        return
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = token_file()
    try:
        if not _text(path):
            _create(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError:
        if not _text(path):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def token_file() -> Path:
    """Where the token lies unless RAY_AUTH_TOKEN holds it."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def find_token() -> str | None:
    """The token at hand; None where there is none, or RAY_AUTH_MODE=disabled asks for none.

    Raises:
        UserError: RAY_AUTH_TOKEN_PATH names a file that cannot be read, or an empty one.
    """
    if _opted_out():
        return None
    return os.environ.get("RAY_AUTH_TOKEN") or _text(token_file()) or None


def require_token(address: str) -> None:
    """Refuse to join a Ray on another machine without a token.

    A job that runs on a cluster joins its own: who sent it was asked already.
    RAY_AUTH_MODE=disabled is the user's word that the network is safe; it is taken, with a warning.

    Raises:
        UserError: no token, or none that Ray would use, for an address that is not this machine's
            loopback.
    """
    if address in _HERE or is_loopback(address) or IN_A_JOB in os.environ:
        return
    if _opted_out():
        logger.warning("joining %s without a token (RAY_AUTH_MODE=disabled)", address)
    elif find_token() is None:
        raise UserError(f"{address} is another machine, and there is no token for it: {_GET_ONE}")
    elif not sends_token():  # Ray would leave it at home
        raise UserError(f"{address} is another machine: set RAY_AUTH_MODE=token to join it")


def is_loopback(address: str) -> bool:
    """Whether an address, with or without scheme and port, is this machine's own loopback."""
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def check_head(address: str) -> dict[str, str]:
    """HTTP headers to talk to the Jobs API of a head with; nothing is sent to one that is unsafe.

    A head on another machine must ask for a token, and the token must be at hand. One on loopback
    may be open (it may be a tunnel to a head elsewhere), with a warning.

    Args:
        address: of the dashboard, ``http://HOST:8265`` or ``https://…``.

    Raises:
        UserError: no http address, no head there, an open head on another machine, or no token
            that it accepts.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise UserError(
            f"--address must be that of the head's dashboard, such as http://127.0.0.1:8265, got "
            f"{address!r} (from --address, RAY_API_SERVER_ADDRESS or RAY_ADDRESS)"
        )
    token, local = find_token(), is_loopback(address)
    if token is None and not local:
        raise UserError(f"{address} is another machine, and there is no token for it: {_GET_ONE}")
    if _status(address) == 200:
        if not local:
            raise UserError(
                f"the head at {address} takes jobs from anyone: whoever reaches it can run code on "
                "it (CVE-2023-48022). Start it with RAY_AUTH_MODE=token (docs/security.md)"
            )
        logger.warning("the head at %s takes jobs from anyone who reaches it", address)
        return {}
    if token is None:
        raise UserError(f"the head at {address} asks for a token, and there is none: {_GET_ONE}")
    headers = {"Authorization": f"Bearer {token}"}
    if not local and address.startswith("http:"):
        logger.warning("the token travels to %s unencrypted; prefer a tunnel or https", address)
    if _status(address, headers) != 200:
        raise UserError(f"the head at {address} does not accept the token at hand: {_GET_ONE}")
    return headers


def sends_token() -> bool:
    """Whether Ray would send a token to the cluster that it joins."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def token_refused(address: str) -> str:
    """Why a cluster that asks for a token refused this process, and what to set."""
    asks = f"the Ray cluster at {address} asks for a token"
    if not sends_token():
        mode = os.environ.get("RAY_AUTH_MODE")
        now = f"RAY_AUTH_MODE={mode}" if mode else "RAY_AUTH_MODE is not set"
        there = os.environ.get("RAY_AUTH_TOKEN") or _text(token_file())
        more = "" if there else f", and {_GET_ONE}"
        return f"{asks}, and Ray sends none ({now}): set RAY_AUTH_MODE=token{more}"
    if find_token() is None:
        return f"{asks}, and there is none: {_GET_ONE}"
    source = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(token_file())
    return f"the Ray cluster at {address} does not accept the token in {source}: {_GET_ONE}"


_GET_ONE = (
    "copy the head's ~/.ray/auth_token here (mode 0600), or set RAY_AUTH_TOKEN; docs/security.md "
    "says how tokens work"
)
IF_TOKEN = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (docs/security.md)"
"""Advice where a port is silent without a token, as that of the Ray Client is."""


def _opted_out() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled"


def _status(address: str, headers: dict[str, str] | None = None) -> int:
    """What the Jobs API answers: 200, or 401 or 403 where it asks for another token or for one."""
    import requests  # Ray's own client speaks through it: the same proxies and certificates

    url = f"{address.rstrip('/')}/api/jobs/"
    try:
        status = requests.get(url, headers=headers, timeout=30, allow_redirects=False).status_code
    except requests.RequestException as error:
        raise UserError(f"no Ray head answers at {address}: {type(error).__name__}") from error
    if status not in (200, 401, 403):
        raise UserError(
            f"what answers at {address} is no Jobs API of Ray (status {status}); is it the "
            "dashboard's address?"
        )
    return status


def _text(path: Path) -> str:
    """The token in a file, '' where the default file does not exist or is empty."""
    named = bool(os.environ.get("RAY_AUTH_TOKEN_PATH"))
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:  # Ray would end the process there
            raise UserError(f"RAY_AUTH_TOKEN_PATH: {path} cannot be read: {error}") from error
        return ""
    if named and not text:
        raise UserError(f"RAY_AUTH_TOKEN_PATH: {path} is empty")
    return text


def _create(path: Path) -> None:
    """Write a new token: under another name, 0600, then linked to its own unless one came first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_file() and not path.read_bytes().strip():
        path.unlink()  # empty: Ray would write into it as it is
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
