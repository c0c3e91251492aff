"""An endpoint that fails, stalls and limits at random: every answer once, in order, and resumable."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from muscle_llm.errors import ConfigError, RunError
from muscle_llm.predict.answers import AnswerLog

pytestmark = pytest.mark.train
pytest.importorskip("lm_eval")

from muscle_llm.predict.endpoint import EndpointEngine, EndpointSettings  # noqa: E402


class Server(ThreadingHTTPServer):
    """Answers a prompt with its last word; goes wrong by a fixed plan."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answered: Counter[str] = Counter()
        self.seen = 0
        self.wrong: dict[int, Any] = {}
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that gave up are part of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen += 1
            wrong = self.server.wrong.get(self.server.seen)
        if wrong == "stall":
            time.sleep(0.6)
            return None
        if wrong == "garbage":
            return self.reply(200, b"<html>")
        if wrong is not None:
            return self.reply(wrong, b'{"error": "busy"}')
        prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        with self.server.lock:
            self.server.answered[prompt] += 1
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        if body.get("echo"):
            words = [" " * (i > 0) + w for i, w in enumerate(prompt.split(" "))]
            offsets = [sum(map(len, words[:i])) for i in range(len(words))]
            values = [None] + [-float(len(w)) for w in words[1:]]
            tops = [None] + [{"x": -3.0} for _ in words[1:]]
            logprobs = {
                "tokens": words,
                "token_logprobs": values,
                "text_offset": offsets,
                "top_logprobs": tops,
            }
            choice: dict[str, Any] = {"text": prompt, "logprobs": logprobs}
        else:
            choice = {"message": {"content": f"{prompt.split()[-1]}\nmore"}, "finish_reason": "length"}
        return self.reply(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    def reply(self, code: int, text: bytes) -> None:
        self.send_response(code)
        if code == 429:
            self.send_header("Retry-After", "0.05")
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


def engine(server: Server, answers: AnswerLog | None = None, **changes: Any) -> EndpointEngine:
    settings = {"parallel": 3, "timeout": 0.3, "backoff": 0.01, "tries": 6, "price_in": 1.0, **changes}
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    return EndpointEngine(EndpointSettings(url, "m", **settings), answers=answers)


def asked(n: int) -> list[Any]:
    from lm_eval.api.instance import Instance

    settings = {"until": ["\n"], "max_gen_toks": 5}
    return [Instance("generate_until", {}, (f"say w{i}", settings), 0, ("t", i, 1)) for i in range(n)]


def test_failures_are_tried_again_and_order_is_kept(server: Server) -> None:
    server.wrong = {2: 500, 3: "stall", 5: 429, 7: "garbage", 9: 503, 10: 429}
    model = engine(server)
    assert model.generate_until(asked(12)) == [f"w{i}" for i in range(12)]
    assert set(model.finish_reason.values()) == {"stop"}
    assert all(n == 1 for n in server.answered.values())
    assert (model.tokens_in, model.tokens_out) == (36, 24)
    assert model.describe()["cost"] == "0.000036"


def test_an_interrupted_run_asks_nothing_twice(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    server.wrong = dict.fromkeys(range(6, 100), 400)
    with AnswerLog(path, {}) as log, pytest.raises(RunError, match="400"):
        engine(server, log, parallel=1).generate_until(asked(12))
    assert sum(server.answered.values()) == 5
    server.wrong = {}
    with AnswerLog(path, {}) as log:
        assert engine(server, log).generate_until(asked(12)) == [f"w{i}" for i in range(12)]
    assert set(server.answered.values()) == {1}


def test_the_same_question_is_asked_once(server: Server) -> None:
    counted = []
    model = engine(server)
    model.on_answer = lambda: counted.append(1)
    assert model.generate_until(asked(1) * 3) == ["w0"] * 3
    assert (sum(server.answered.values()), len(counted)) == (1, 3)


def test_options_are_scored_by_echo(server: Server) -> None:
    from lm_eval.api.instance import Instance

    pairs = [Instance("loglikelihood", {}, ("ask me", c), 0, ("t", 0, 1)) for c in (" ab", " ab c")]
    # the server gives a token minus its length: -3 for ' ab', -2 for ' c'
    assert engine(server, api="completions").loglikelihood(pairs) == [(-3.0, True), (-5.0, True)]
    with pytest.raises(ConfigError, match="a chat endpoint gives no log-likelihoods"):
        engine(server).loglikelihood(pairs)


def test_the_rate_limit_holds(server: Server) -> None:
    start = time.monotonic()
    engine(server, per_minute=1200).generate_until(asked(5))
    assert time.monotonic() - start >= 4 * 60 / 1200


def test_giving_up_says_how_to_go_on(server: Server) -> None:
    server.wrong = dict.fromkeys(range(1, 50), 503)
    with pytest.raises(RunError, match=r"did not answer in 2 tries \(last: 503.*run the same command again"):
        engine(server, tries=2, parallel=1).generate_until(asked(1))


@pytest.mark.parametrize("change", [{"url": "ftp://x"}, {"parallel": 0}, {"per_minute": 0}, {"timeout": 0}])
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EndpointSettings(**{"url": "http://x", "model": "m", **change})
