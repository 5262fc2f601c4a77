"""`delt-host push` through the hub's own client, against a stand-in server on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from click.testing import CliRunner
from packaging.version import Version

from delt_host import Distilled, DistilledSet, InputError, RunError
from delt_host.cli import cli
from delt_host.images.normalization import Normalization
from delt_plugins import publish
from delt_plugins.publish.export import export
from delt_plugins.publish.push_command import OTHER_HUBS_FROM

TOKEN = "hf_of_the_test"
OLD = Version(huggingface_hub.__version__) < Version(OTHER_HUBS_FROM)
to_another_hub = pytest.mark.skipif(
    OLD, reason=f"another hub than the client's own needs huggingface-hub {OTHER_HUBS_FROM}"
)


class Hub(BaseHTTPRequestHandler):
    """What an upload asks: make the repository, check the card, how to send which file, put large ones, commit."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.requests.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        base = f"http://127.0.0.1:{server.server_address[1]}"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and "/lfs/" not in self.path:
            self.answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            server.created.append(json.loads(body))  # type: ignore[attr-defined]
            self.answer({"url": f"{base}/datasets/me/digits", "name": "me/digits", "id": "1"})
        elif self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\nlicense: cc-by-4.0\n")
            self.answer({"errors": [], "warnings": []})
        elif self.path.startswith("/api/datasets/me/digits/preupload/"):
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if "safetensors" in f["path"] else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif self.path == "/datasets/me/digits.git/info/lfs/objects/batch":
            objects = [
                {**each, "actions": {"upload": {"href": f"{base}/put/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif self.path.startswith("/api/datasets/me/digits/commit/"):
            for line in body.splitlines():
                item = json.loads(line)
                value = item["value"]
                if item["key"] == "file":
                    server.files[value["path"]] = base64.b64decode(value["content"])  # type: ignore[attr-defined]
                elif item["key"] == "lfsFile":
                    server.files[value["path"]] = server.large[value["oid"]]  # type: ignore[attr-defined]
                else:
                    server.messages.append(value["summary"])  # type: ignore[attr-defined]
            url = f"{base}/datasets/me/digits/commit/abc"
            self.answer({"success": True, "commitUrl": url, "commitOid": "abc", "pullRequestUrl": None})
        else:
            self.answer({"error": f"not expected: {self.path}"}, 404)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rsplit("/", 1)[1]
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.large[oid] = content  # type: ignore[attr-defined]
        self.answer({})

    def answer(self, value: object, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    for name, value in {"requests": [], "created": [], "messages": [], "files": {}, "large": {}}.items():
        setattr(server, name, value)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client sees no token of this machine, no network but ours, and plain uploads."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "no-tokens"), raising=False)  # from 0.26
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # from 0.30
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def exported(folder: Path, licence: str = "cc-by-4.0") -> Path:
    pixels = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    distilled = Distilled.of(pixels, torch.tensor([0, 0, 1, 1]))
    made = DistilledSet(distilled, ("a", "b"), Normalization((0.5,) * 3, (0.25,) * 3))
    export(made, folder, "images", licence=licence)
    return folder


def push(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["push", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@to_another_hub
def test_a_set_is_uploaded_whole_and_nothing_else_is(
    hub: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path / "out")
    (folder / "secret.env").write_text("password")
    (folder / "train" / "a" / "notes.txt").write_text("mine")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}"
    output = push(folder, "--repo", "me/digits", "--endpoint", endpoint, "--private", "--message", "first")
    assert "uploaded 7 files" in output and f"{endpoint}/datasets/me/digits/commit/abc" in output
    assert TOKEN not in output
    (made,) = hub.created  # type: ignore[attr-defined]
    assert (made["name"], made["organization"], made["type"]) == ("digits", "me", "dataset")
    assert made.get("private") is True or made.get("visibility") == "private"
    assert hub.messages == ["first"]  # type: ignore[attr-defined]
    there = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    del there["secret.env"], there["train/a/notes.txt"]
    assert hub.files == there  # type: ignore[attr-defined]
    for name, content in hub.files.items():  # type: ignore[attr-defined]
        (tmp_path / "down" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "down" / name).write_bytes(content)
    assert torch.equal(publish.load(tmp_path / "down").pixels, publish.load(folder).pixels)


@to_another_hub
def test_a_dry_run_asks_nobody(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}"
    output = push(exported(tmp_path / "out"), "--repo", "me/digits", "--endpoint", endpoint, "--dry-run")
    assert "would upload 7 files" in output and "train/a/00000.png" in output
    assert hub.requests == []  # type: ignore[attr-defined]


@to_another_hub
def test_what_stands_in_the_way_is_said(
    hub: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, endpoint = exported(tmp_path / "out"), f"http://127.0.0.1:{hub.server_address[1]}"

    def said(*arguments: object) -> str:
        with pytest.raises((InputError, RunError)) as caught:
            push(*arguments)
        return str(caught.value)

    to = ("--repo", "me/digits", "--endpoint", endpoint)
    assert "no token for the hub" in said(folder, *to)
    assert "names no licence" in said(exported(tmp_path / "unlicensed", "unknown"), *to)
    assert "--repo must be USER/NAME" in said(folder, "--repo", "digits", "--endpoint", endpoint)
    assert "--repo must be USER/NAME" in said(folder, "--repo", "me/../x", "--endpoint", endpoint)
    assert "must begin with https://" in said(folder, "--repo", "me/digits", "--endpoint", "http://hub.example")
    assert "has no README.md" in said(tmp_path, *to)
    (tmp_path / "elsewhere.png").write_bytes(b"")
    (folder / "train" / "a" / "00009.png").symlink_to(tmp_path / "elsewhere.png")
    assert "a symbolic link that leads out" in said(folder, *to)
    (folder / "train" / "a" / "00009.png").unlink()
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    assert "README.md cannot be read" in said(folder, *to)
    assert hub.requests == []  # type: ignore[attr-defined]
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    refused = said(exported(tmp_path / "again"), *to)
    assert "the upload to me/digits failed" in refused and "401" in refused


@pytest.mark.skipif(not OLD, reason="a newer client can do it")
def test_another_hub_is_refused_where_the_client_would_ask_its_own(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HF_ENDPOINT=https://hub.example"):
        push(exported(tmp_path / "out"), "--repo", "me/digits", "--endpoint", "https://hub.example")
    assert hub.requests == []  # type: ignore[attr-defined]
