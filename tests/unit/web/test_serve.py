"""What raynef serve refuses before it starts anything, and its token."""

import json
import logging
import os
import socket
import sys

import pytest

from raynef.core.errors import UserError
from raynef.models.segmenter import segmenter_folder
from raynef.web.serve import TOKEN, listening, serve, token_for

LONG = "0123456789abcdef"


@pytest.fixture
def run(tmp_path):
    """A folder that looks like that of a segmenter; nothing here gets as far as to open it."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    return tmp_path


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)


def test_a_run_that_is_not_trained_to_its_end(run):
    assert segmenter_folder(run) == run
    (run / "run.json").write_text(json.dumps({"recipe": {}}))
    with pytest.raises(UserError, match=r"not trained to its end \(raynef status"):
        serve(run)


def test_no_segmenter(tmp_path):
    with pytest.raises(UserError, match="holds no segmenter; raynef train"):
        serve(tmp_path / "none")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"replicas": 0}, "--replicas must be at least 1, got 0"),
        ({"max_concurrent": 0}, "--max-concurrent must be"),
        ({"timeout_s": 0}, "--timeout must be"),
        ({"port": 70_000}, "--port must be 0 to 65535"),
        ({"host": "203.0.113.7"}, "--host 203.0.113.7 --port 8000 cannot be used"),
    ],
)
def test_settings_that_cannot_be(run, option, said):
    with pytest.raises(UserError, match=said):
        serve(run, **option)


def test_a_port_in_use(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=f"--port {port} cannot be used: Address already in use"
        ):
            serve(run, port=port)
    with listening("127.0.0.1", port) as found:
        assert found.getsockname() == ("127.0.0.1", port)


@pytest.mark.parametrize("missing", ["fastapi", "python_multipart"])
def test_without_the_extra_one_line_says_which(run, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=rf"needs {missing}: pip install 'raynef\[serve\]'"):
        serve(run)


def test_loopback_needs_no_token_and_any_other_host_gets_one(capsys, caplog):
    caplog.set_level(logging.DEBUG)
    for host in ("127.0.0.1", "localhost", "::1"):
        assert token_for(host, None) is None
    made = token_for("0.0.0.0", None)
    assert made is not None
    assert len(made) > 40
    assert token_for("0.0.0.0", None) != made
    assert made in capsys.readouterr().err
    assert made not in caplog.text


def test_a_token_that_is_given_is_asked_for_on_loopback_too(tmp_path, monkeypatch, caplog, capsys):
    file = tmp_path / "token"
    file.write_text(f"{LONG}\n")
    os.chmod(file, 0o600)
    assert token_for("127.0.0.1", file) == LONG
    monkeypatch.setenv(TOKEN, LONG[::-1])
    assert token_for("0.0.0.0", None) == LONG[::-1]
    assert token_for("0.0.0.0", file) == LONG
    assert caplog.text == ""
    os.chmod(file, 0o644)
    token_for("127.0.0.1", file)
    assert "can be read by others" in caplog.text
    assert LONG not in caplog.text + capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "short", f"two {LONG}", "é" * 20])
def test_tokens_that_will_not_do(text, tmp_path, monkeypatch):
    (tmp_path / "token").write_text(text)
    with pytest.raises(UserError, match="--token-file"):
        token_for("127.0.0.1", tmp_path / "token")
    if text:
        monkeypatch.setenv(TOKEN, text)
        with pytest.raises(UserError, match="RAYNEF_TOKEN: a token is one word of at least 16"):
            token_for("127.0.0.1", None)
    with pytest.raises(UserError, match="cannot be read"):
        token_for("127.0.0.1", tmp_path / "none")
