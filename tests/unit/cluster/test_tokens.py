"""Ray's token: owner only from its first moment; no talk to another machine without one."""

import os
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ray.exceptions import AuthenticationError

from raynef.cluster import tokens
from raynef.cluster.session import ray_session
from raynef.core.errors import UserError

FAR = "http://10.1.2.3:8265"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home without a token, and an environment that says nothing of one."""
    names = ("MODE", "TOKEN", "TOKEN_PATH")
    for name in (*[f"RAY_AUTH_{name}" for name in names], "RAY_ADDRESS", tokens.IN_A_JOB):
        monkeypatch.setenv(name, "x")  # so that what a test sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ------------------------------------------------------------------------------------- the file


def test_a_token_is_made_for_its_owner_alone(home, monkeypatch):
    created = []
    link = os.link
    monkeypatch.setattr(os, "link", lambda a, b: (created.append(mode(Path(a))), link(a, b)))
    before = os.umask(0)
    try:
        tokens.ensure_token()
    finally:
        os.umask(before)
    file = home / ".ray/auth_token"
    assert created == [0o600]  # before it had its name
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert len(bytes.fromhex(file.read_text())) == 32
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]


def test_a_token_that_is_there_is_kept_and_narrowed(home):
    file = home / ".ray/auth_token"
    file.parent.mkdir()
    file.write_text("mine\n")
    file.chmod(0o644)
    tokens.ensure_token()
    assert (file.read_text(), mode(file)) == ("mine\n", 0o600)
    assert tokens.find_token() == "mine"


def test_an_empty_token_is_replaced(home):
    file = home / ".ray/auth_token"
    file.parent.mkdir()
    file.touch(0o644)
    tokens.ensure_token()
    assert (len(file.read_text()), mode(file)) == (64, 0o600)


def test_of_two_that_make_one_the_first_wins(home):
    file = home / ".ray/auth_token"
    tokens.ensure_token()
    first = file.read_text()
    tokens._create(file)
    assert file.read_text() == first


def test_the_environment_goes_before_the_file(home, monkeypatch):
    tokens.ensure_token()
    named = home / "named"
    named.write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    assert tokens.find_token() == "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "said")
    assert tokens.find_token() == "said"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert tokens.find_token() is None


@pytest.mark.parametrize("content", [None, ""])
def test_a_named_file_without_a_token_is_a_mistake(home, monkeypatch, content):
    if content is not None:
        (home / "named").write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "named"))
    for ask in (tokens.ensure_token, tokens.find_token):
        with pytest.raises(UserError, match="RAY_AUTH_TOKEN_PATH"):
            ask()


def test_without_a_home_the_token_lives_in_the_environment(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home / "file"))
    (home / "file").touch()
    tokens.ensure_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_who_opts_out_is_warned(home, monkeypatch, caplog):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    tokens.ensure_token()
    assert not (home / ".ray").exists()
    assert "can run code" in caplog.text


# --------------------------------------------------------------------------------------- joining


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:6379", True),
        ("http://127.8.8.8:8265", True),
        ("localhost:6379", True),
        ("http://[::1]:8265", True),
        ("10.0.0.1:6379", False),
        ("http://localhost.example.com:8265", False),
        ("ray://head:10001", False),
        ("http://127.0.0.1@example.com:8265", False),
        ("0.0.0.0:6379", False),
    ],
)
def test_loopback(address, loopback):
    assert tokens.is_loopback(address) == loopback


def test_another_machine_is_joined_with_a_token_only(monkeypatch, caplog):
    for here in ("auto", "127.0.0.1:6379"):
        tokens.require_token(here)
    with pytest.raises(UserError, match=r"10\.0\.0\.1:6379 is another machine, and there is no"):
        tokens.require_token("10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    with pytest.raises(UserError, match="set RAY_AUTH_MODE=token"):
        tokens.require_token("10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    tokens.require_token("10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    tokens.require_token("10.0.0.1:6379")
    assert "without a token" in caplog.text


def test_a_job_joins_its_own_cluster(monkeypatch, caplog):
    """Its head let it in; whoever else comes from another machine needs a token."""
    with pytest.raises(UserError, match="is another machine, and there is no"):
        tokens.require_token("10.0.0.1:6379")
    monkeypatch.setenv(tokens.IN_A_JOB, "{}")
    tokens.require_token("10.0.0.1:6379")
    assert caplog.text == ""
    monkeypatch.delenv(tokens.IN_A_JOB)
    with pytest.raises(UserError, match="is another machine, and there is no"):
        tokens.require_token("10.0.0.1:6379")


@pytest.fixture
def no_ray(monkeypatch):
    """ray.init tells with what it was called, and starts nothing."""
    calls = []

    def init(**arguments):
        calls.append(arguments)
        raise ConnectionError("nothing there")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("raynef.cluster.session._require_answer", lambda address: None)
    return calls


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1': Connection refused"),
        ("ray://127.0.0.1:1", "no Ray cluster answers at 'ray://127.0.0.1:1': Connection refused"),
        ("127.0.0.1:hello", "is no address of a Ray cluster: .*hello"),
    ],
)
def test_where_nothing_listens_ray_is_not_asked(monkeypatch, address, message):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was asked"))
    with pytest.raises(UserError, match=message), ray_session(address):
        pass


REFUSED = b"gcs_client.cc:210: Unauthenticated: RPC error: InvalidAuthToken: missing or incorrect\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            r"none \(RAY_AUTH_MODE is not set\): set RAY_AUTH_MODE=token, and copy the head's",
        ),
        (
            {"MODE": "disabled", "TOKEN": "t"},
            r"\(RAY_AUTH_MODE=disabled\): set RAY_AUTH_MODE=token$",
        ),
        ({"TOKEN": "t"}, r"\(RAY_AUTH_MODE is not set\): set RAY_AUTH_MODE=token$"),
        ({"MODE": "token", "TOKEN": "of another"}, "does not accept the token in RAY_AUTH_TOKEN"),
        ({"MODE": "token"}, r"does not accept the token in \S+/\.ray/auth_token"),
    ],
)
def test_a_cluster_that_refuses_the_token_is_one_line(home, monkeypatch, capfd, settings, message):
    """Ray's core writes to the descriptor, past Python, and raises without the reason."""

    def init(**_):
        for _ in range(20):
            os.write(2, REFUSED)
        raise ConnectionError("Failed to connect to Ray cluster at 127.0.0.1:6379")

    if settings == {"MODE": "token"}:
        tokens._create(home / ".ray/auth_token")
    for name, value in settings.items():
        monkeypatch.setenv(f"RAY_AUTH_{name}", value)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("raynef.cluster.session._require_answer", lambda address: None)
    with pytest.raises(UserError, match=message) as caught, ray_session("127.0.0.1:6379"):
        pass
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_token_that_ray_does_not_find_is_the_users_mistake(no_ray, monkeypatch):
    def init(**_):
        raise AuthenticationError("Token authentication is enabled, but …")

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr("ray.init", init)
    message = "asks for a token, and there is none: copy the head's"
    with pytest.raises(UserError, match=message), ray_session("127.0.0.1:6379"):
        pass


def test_a_client_port_that_is_silent_may_want_a_token(no_ray, monkeypatch):
    port, hint = "ray://127.0.0.1:10001", "nothing there; if it asks for a token, set RAY_AUTH_MODE"
    with pytest.raises(UserError, match=hint), ray_session(port):
        pass
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(UserError, match=r"nothing there$"), ray_session(port):
        pass


def test_what_is_said_while_joining_is_passed_on(monkeypatch, capfd):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **_: os.write(2, b"a warning of the core\n"))
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 8})
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("raynef.cluster.session._require_answer", lambda address: None)
    with ray_session("127.0.0.1:6379"):
        assert capfd.readouterr().err == "a warning of the core\n"


def test_a_session_joins_the_cluster_of_its_job(no_ray, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv(tokens.IN_A_JOB, "{}")
    message = r"no Ray cluster answers at '10\.0\.0\.1:6379'"
    with pytest.raises(UserError, match=message), ray_session():
        pass
    assert [call["address"] for call in no_ray] == ["10.0.0.1:6379"]


@pytest.mark.parametrize(
    ("address", "message"),
    [("10.0.0.1:6379", "another machine"), ("http://127.0.0.1:8265", "raynef submit")],
)
def test_a_session_joins_nothing_else_unasked(no_ray, monkeypatch, address, message):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=message), ray_session():
        pass
    assert no_ray == []


@pytest.mark.parametrize("address", [None, "local"])
def test_an_embedded_ray_has_its_token_first_and_listens_on_loopback(
    no_ray, home, monkeypatch, address
):
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConnectionError), ray_session():
        pass
    assert mode(home / ".ray/auth_token") == 0o600
    assert no_ray[0]["dashboard_host"] == "127.0.0.1"
    assert "address" not in no_ray[0]


# ------------------------------------------------------------------------------------ submitting


@pytest.fixture
def serve():
    """A server on loopback that answers with a status, or 200 to the token; it keeps headers."""
    servers = []

    def start(status: int, token: str = "t"):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(dict(self.headers))
                knows = self.headers.get("Authorization") == f"Bearer {token}"
                self.send_response(200 if knows else status)
                self.end_headers()

            def log_message(self, format, *args):
                pass

        seen: list[dict] = []
        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_head_that_asks_is_given_the_token(serve, monkeypatch):
    address, seen = serve(401)
    with pytest.raises(UserError, match="asks for a token, and there is none"):
        tokens.check_head(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    assert tokens.check_head(address) == {"Authorization": "Bearer t"}
    assert [headers.get("Authorization") for headers in seen] == [None, None, "Bearer t"]


def test_a_token_of_another_head_is_named(serve, monkeypatch):
    address, _ = serve(403)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another")
    with pytest.raises(UserError, match="does not accept the token"):
        tokens.check_head(address)


def test_an_open_head_is_refused_unless_it_is_here(serve, monkeypatch, caplog):
    address, seen = serve(200)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    assert tokens.check_head(address) == {}
    assert not any("Authorization" in headers for headers in seen)
    assert "takes jobs from anyone" in caplog.text
    monkeypatch.setattr(tokens, "is_loopback", lambda address: False)
    with pytest.raises(UserError, match="CVE-2023-48022"):
        tokens.check_head(address)


def test_another_machine_is_not_even_asked_without_a_token(serve, monkeypatch):
    address, seen = serve(401)
    monkeypatch.setattr(tokens, "is_loopback", lambda address: False)
    with pytest.raises(UserError, match="another machine"):
        tokens.check_head(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UserError, match="another machine"):
        tokens.check_head(address)
    assert seen == []


def test_a_token_in_clear_is_warned_of(serve, monkeypatch, caplog):
    address, _ = serve(403)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    monkeypatch.setattr(tokens, "is_loopback", lambda address: False)
    assert tokens.check_head(address) == {"Authorization": "Bearer t"}
    assert "unencrypted" in caplog.text


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_no_head_is_named(serve, status):
    address, _ = serve(status)
    with pytest.raises(UserError, match="no Jobs API of Ray"):
        tokens.check_head(address)


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "ray://head:10001", "auto"])
def test_only_http_takes_jobs(address):
    with pytest.raises(UserError, match="must be that of the head's dashboard"):
        tokens.check_head(address)
