"""As much of the Hugging Face Hub as its client asks for, in memory; it keeps what it was asked."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_token"


@dataclass
class Hub:
    """A hub with the repositories of ``me``.

    Attributes:
        address: of it.
        commits: of each repository, OWNER/NAME, its files after each commit.
        private: repositories that are.
        asked: "METHOD path" of each request.
    """

    address: str = ""
    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def files(self, repo_id: str) -> dict[str, bytes]:
        """Of the newest commit."""
        return self.commits[repo_id][-1]


def _sha(number: int) -> str:
    return f"{number + 1:040x}"


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub until the end of the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            path, body = self._path(), self._body()
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, {"error": "Invalid credentials"})
            elif path == "/api/repos/create":
                self._create(json.loads(body))
            elif path == "/api/validate-yaml":
                bad = "license: none-such" in json.loads(body)["content"]
                errors = [{"message": '"license" must be one of …'}] if bad else []
                self._send(400 if bad else 200, {"errors": errors, "warnings": []})
            elif "/preupload/" in path:
                files = json.loads(body)["files"]
                modes = [{"path": file["path"], "uploadMode": "regular"} for file in files]
                self._send(200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})
            elif "/commit/" in path:
                self._commit(path.removeprefix("/api/models/").partition("/commit/")[0], body)
            else:
                self._send(404, {"error": path})

        def do_GET(self) -> None:
            path = self._path()
            if path.startswith("/api/models/"):
                repo_id = "/".join(path.split("/")[3:5])
                number = self._commit_of(repo_id, path)
                if number is None:
                    return
                files = hub.commits[repo_id][number]
                if "/tree/" in path:
                    entries = [
                        {"type": "file", "path": name, "size": len(data), "oid": _etag(data)}
                        for name, data in files.items()
                    ]
                    self._send(200, entries)
                    return
                siblings = [{"rfilename": name} for name in files]
                self._send(200, {"id": repo_id, "sha": _sha(number), "siblings": siblings})
                return
            repo_id, _, rest = path[1:].partition("/resolve/")
            number = self._commit_of(repo_id, path)
            if number is None:
                return
            data = hub.commits[repo_id][number].get(rest.partition("/")[2])
            if data is None:
                self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            else:
                headers = {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": _sha(number)}
                self._send(200, data, headers)

        do_HEAD = do_GET

        def _create(self, asked: dict) -> None:
            owner = asked.get("organization") or "me"
            repo_id = f"{owner}/{asked['name']}"
            if owner != "me":
                self._send(403, {"error": f"no rights in the namespace {owner}"})
                return
            there = repo_id in hub.commits
            if asked.get("private") and not there:
                hub.private.add(repo_id)
            hub.commits.setdefault(repo_id, [{}])
            address = f"{hub.address}/{repo_id}"
            self._send(409 if there else 200, {"url": address, "name": repo_id})

        def _commit(self, repo_id: str, body: bytes) -> None:
            files = dict(hub.files(repo_id))
            for line in body.decode().splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    value = item["value"]
                    files[value["path"]] = base64.b64decode(value["content"])
            hub.commits[repo_id].append(files)
            sha = _sha(len(hub.commits[repo_id]) - 1)
            said = {"commitUrl": f"{hub.address}/{repo_id}/commit/{sha}", "commitOid": sha}
            self._send(200, {**said, "success": True})

        def _commit_of(self, repo_id: str, path: str) -> int | None:
            """That a request is about; None after an answer that there is none."""
            known = hub.commits.get(repo_id, [])
            may = repo_id not in hub.private
            if not known or not (may or self.headers.get("Authorization") == f"Bearer {TOKEN}"):
                self._send(401, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
                return None
            for mark in ("/revision/", "/tree/", "/resolve/"):
                if mark in path:
                    revision = path.partition(mark)[2].partition("/")[0]
                    names = {"main": len(known) - 1, **{_sha(i): i for i in range(len(known))}}
                    if revision not in names:
                        error = {"X-Error-Code": "RevisionNotFound"}
                        self._send(404, {"error": "Invalid rev id"}, error)
                        return None
                    return names[revision]
            return len(known) - 1

        def _path(self) -> str:
            hub.asked.append(f"{self.command} {self.path}")
            return unquote(urlsplit(self.path).path)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _send(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _etag(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
