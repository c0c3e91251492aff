"""Kill -9 in the middle of `predict`: nothing stored is asked again, nothing lost, the file is the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.train, pytest.mark.slow]
pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.cli import main  # noqa: E402
from muscle_llm.predict.answers import AnswerLog  # noqa: E402

COUNT = 48
# The command line with short pauses between tries.
HASTY = """
import sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))
from muscle_llm.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    rows = [{"prompt": f"say w{i}{' please' * (i % 5)}", "answer": f"w{i}"} for i in range(COUNT)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "say.yaml").write_text(
        "task: say\ndata: test.jsonl\nanswer: answer\nstop: ['#']\nmax_tokens: 24\n"
    )
    return tmp_path / "say.yaml"


def stored(log: Path) -> list[str]:
    """The keys in a file of answers, whole lines only."""
    if not log.exists():
        return []
    lines = log.read_bytes().split(b"\n")[1:-1]
    return [json.loads(line)["key"] for line in lines]


def kill_in_the_middle(arguments: list[str], log: Path, enough: int) -> list[str]:
    """Run the command in a process of its own, kill it when so many answers are stored; return their keys."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", HASTY, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 120
        while len(stored(log)) < enough:
            assert process.poll() is None, (process.stderr or sys.stdin).read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return stored(log)


def test_the_transformers_engine(task: Path, tiny_base: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def arguments(folder: str) -> list[str]:
        out = str(tmp_path / folder / "old.parquet")
        wanted = ["predict", "--base", str(tiny_base), "--task", str(task), "--out", out, "--quiet"]
        return [*wanted, "--batch-size", "2", "--device", "cpu"]

    asked: list[str] = []
    put = AnswerLog.put

    def counted(self: AnswerLog, request: Any, answer: Any) -> None:
        before = set(self._known)
        put(self, request, answer)
        asked.extend(set(self._known) - before)

    monkeypatch.setattr(AnswerLog, "put", counted)
    assert main(arguments("whole")) == 0
    everything = list(asked)
    assert len(everything) == len(set(everything)) == COUNT // 2

    log = tmp_path / "killed" / ".old.parquet.answers"
    kept = kill_in_the_middle(arguments("killed"), log, enough=4)
    assert 4 <= len(kept) < COUNT // 2
    with log.open("ab") as stream:
        stream.write(b'{"key": "cut of')  # what a kill in the middle of a write leaves
    asked.clear()
    assert main(arguments("killed")) == 0
    assert sorted([*kept, *asked]) == sorted(everything)
    whole, killed = (tmp_path / name / "old.parquet" for name in ("whole", "killed"))
    assert killed.read_bytes() == whole.read_bytes()
    assert [p.name for p in killed.parent.iterdir()] == ["old.parquet"]


class Server(ThreadingHTTPServer):
    """Answers a prompt with its second word; fails, stalls and limits at random; stops after ``pause_at``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.random = random.Random(5)
        self.pause_at: int | None = None
        self.lock = threading.Lock()
        self.begun = self.ended = 0

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.begun += 1
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.lock:
                self.ended += 1

    def wait_until_idle(self) -> None:
        """Wait for what a killed client had asked: no request is at work, and none comes for a while."""
        quiet, seen = 0, -1
        deadline = time.monotonic() + 30
        while quiet < 10:
            assert time.monotonic() < deadline
            with self.lock:
                idle, begun = self.begun == self.ended, self.begun
            quiet = quiet + 1 if idle and begun == seen else 0
            seen = begun
            threading.Event().wait(0.02)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed are part of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            fate = self.server.random.choices(["good", "500", "429", "stall", "garbage"], [10, 1, 1, 1, 1])[0]
            if fate == "good":
                full = (
                    self.server.pause_at is not None and self.server.answered.total() >= self.server.pause_at
                )
                fate = "full" if full else fate
            self.server.failed[fate] += 1
            if fate == "good":
                self.server.answered[prompt] += 1
        if fate in ("stall", "full"):
            time.sleep(0.02)
            return None  # the connection ends without an answer
        if fate == "garbage":
            return self.reply(200, b"<html>")
        if fate != "good":
            return self.reply(int(fate), b'{"error": "busy"}')
        choice = {"message": {"content": prompt.split()[1]}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        return self.reply(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    def reply(self, code: int, text: bytes) -> None:
        self.send_response(code)
        if code == 429:
            self.send_header("Retry-After", "0.1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_endpoint_engine(task: Path, server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))

    def arguments(folder: str) -> list[str]:
        out = str(tmp_path / folder / "old.parquet")
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        wanted = ["predict", "--endpoint", url, "--model", "m", "--task", str(task), "--out", out, "--quiet"]
        return [*wanted, "--parallel", "16", "--price", "1", "2"]

    server.pause_at = COUNT // 2
    log = tmp_path / "killed" / ".old.parquet.answers"
    kept = kill_in_the_middle(arguments("killed"), log, enough=COUNT // 2 - 4)
    server.wait_until_idle()
    before = Counter(server.answered)
    assert len(kept) < COUNT

    server.pause_at = None
    server.answered.clear()
    assert main(arguments("killed")) == 0
    # each instance was either stored or is asked now, once; asked again is only what was answered, not stored
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == COUNT - len(kept)
    assert len(set(before) & set(server.answered)) == len(before) - len(kept)

    server.answered.clear()
    assert main(arguments("whole")) == 0
    assert server.answered == Counter(dict.fromkeys(server.answered, 1))
    assert server.answered.total() == COUNT
    whole, killed = (tmp_path / name / "old.parquet" for name in ("whole", "killed"))
    assert killed.read_bytes() == whole.read_bytes()
    assert min(server.failed[fate] for fate in ("500", "429", "stall", "garbage")) > 0

    from muscle_llm.predictions.store import read_store

    found = read_store(killed)
    assert found.table["correct"].to_pylist() == [True] * COUNT
