"""Pushing, against a stand-in for the hub on this machine: what arrives, and what is refused."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("huggingface_hub")

from muscle_llm.cli import main

pytestmark = pytest.mark.train
TOKEN = "hf_test"


class Hub(ThreadingHTTPServer):
    """Repositories in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.refuse: int | None = None


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refuse or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(self.server.refuse or 401, {"error": "no"})
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            document = json.loads(body)["content"]
            yaml.safe_load(document.split("---\n")[1])
            return self.answer(200, {"errors": [], "warnings": []})
        name, _, action = path.removeprefix("/api/models/").rpartition("/")[0].rpartition("/")
        if action == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        assert action == "commit"
        for line in body.splitlines():
            value = json.loads(line)
            if value["key"] == "file":
                content = base64.b64decode(value["value"]["content"])
                self.server.repositories[name]["files"][value["value"]["path"]] = content
        return self.answer(200, {"commitUrl": f"{self.address}/{name}/commit/1", "commitOid": "1" * 40})

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        address = {"url": f"{self.address}/{name}"}
        if name in self.server.repositories:
            return self.answer(409, {"error": "exists", **address})
        private = wanted.get("private", wanted.get("visibility") == "private")
        self.server.repositories[name] = {"private": private, "files": {}}
        return self.answer(200, address)

    def do_GET(self) -> None:
        name = self.path.split("?")[0].removeprefix("/api/models/")
        found = self.server.repositories.get(name)
        if self.server.refuse or found is None:
            return self.answer(self.server.refuse or 404, {"error": "no"})
        return self.answer(200, {"id": name, "private": found["private"], "sha": "1" * 40, "siblings": []})

    def answer(self, code: int, document: Any) -> None:
        text = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_address[1]}")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
        hub.shutdown()
        thread.join()


def adapter(folder: Path, base: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 4}))
    (folder / "training.json").write_text(json.dumps({"base": {"name": base, "fingerprint": "f"}}))
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n# card\n")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    home = tmp_path / "run" / "tasks" / "piqa"
    for name in ("muscle", "other"):
        adapter(home / "adapters" / name, "org/base")
    (home / "report.html").write_text("<html>")
    (home / "comparison.json").write_text("{}")
    (home / "adapters" / "continued").mkdir()
    return tmp_path / "run"


def test_an_adapter_with_its_report_arrives_private(hub: Hub, run: Path, capsys: Any) -> None:
    arguments = ["push", str(run), "--task", "piqa", "--remedy", "muscle", "--to", "me/x", "--report"]
    assert main(arguments) == 0
    found = hub.repositories["me/x"]
    assert found["private"] is True
    assert set(found["files"]) == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "training.json",
        "README.md",
        "report.html",
        "comparison.json",
    }
    assert found["files"]["adapter_model.safetensors"] == b"weights" * 100
    assert "base_model: org/base" in found["files"]["README.md"].decode()
    assert "6 files" in capsys.readouterr().out
    assert main(arguments) == 0  # once more: the repository is there, and private


def test_public_has_to_be_said(hub: Hub, run: Path, capsys: Any) -> None:
    arguments = ["push", str(run), "--remedy", "other", "--to", "me/open"]
    assert main([*arguments, "--public"]) == 0
    assert hub.repositories["me/open"]["private"] is False
    hub.repositories["me/open"]["files"].clear()
    assert main(arguments) == 2
    assert "is there and public" in capsys.readouterr().err
    assert hub.repositories["me/open"]["files"] == {}


def test_a_local_bases_path_stays_at_home(hub: Hub, tmp_path: Path, capsys: Any) -> None:
    secret = tmp_path / "secret" / "base"
    secret.mkdir(parents=True)
    folder = adapter(tmp_path / "compat", str(secret))
    assert main(["push", str(folder), "--to", "me/x"]) == 2
    assert "--base-model" in capsys.readouterr().err
    assert hub.repositories == {}
    assert main(["push", str(folder), "--to", "me/x", "--base-model", "org/base"]) == 0
    sent = hub.repositories["me/x"]["files"]
    assert all(b"secret" not in content for content in sent.values())
    assert json.loads(sent["adapter_config.json"])["base_model_name_or_path"] == "org/base"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(secret)


@pytest.mark.parametrize(
    ("refuse", "message"),
    [(401, "token is not valid"), (403, "may not write there"), (404, "no such repository")],
)
def test_a_refusal_is_one_sentence(refuse: int, message: str, hub: Hub, run: Path, capsys: Any) -> None:
    hub.refuse = refuse
    assert main(["push", str(run), "--remedy", "muscle", "--to", "me/x"]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert TOKEN not in shown


def test_no_token(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert main(["push", str(run), "--remedy", "muscle", "--to", "me/x"]) == 2
    assert "hf auth login" in capsys.readouterr().err


def test_no_hub_at_all(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", str(run), "--remedy", "muscle", "--to", "me/x"]) == 2
    assert "pushing to me/x failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "me/x"], "several compatibility adapters; say which: --task piqa --remedy muscle"),
        (["--to", "me/x", "--remedy", "none"], "there are: --task piqa --remedy muscle"),
        (["--to", "x", "--remedy", "muscle"], "ACCOUNT/NAME"),
        (["--to", "../x", "--remedy", "muscle"], "ACCOUNT/NAME"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str, hub: Hub, run: Path, capsys: Any) -> None:
    assert main(["push", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert hub.repositories == {}


def test_dry_run_sends_nothing(hub: Hub, run: Path, capsys: Any) -> None:
    assert main(["push", str(run), "--remedy", "muscle", "--to", "me/x", "--dry-run"]) == 0
    assert "700  adapter_model.safetensors" in capsys.readouterr().out
    assert hub.repositories == {}
