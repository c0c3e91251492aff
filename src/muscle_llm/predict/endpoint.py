"""Any OpenAI-compatible endpoint as an engine: retries, a rate limit, resumable, its cost counted."""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lm_eval.api.model import LM

from muscle_llm.errors import ConfigError, RunError
from muscle_llm.text import printable

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from muscle_llm.predict.answers import AnswerLog

__all__ = ["EndpointEngine", "EndpointSettings"]

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # worth another try
_STOPS = 4  # what such endpoints take at most; the others are applied here


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How an endpoint is asked.

    Attributes:
        url: up to and without ``/chat/completions``, such as ``http://localhost:8000/v1``.
        model: the endpoint's name of the model.
        api: ``"chat"`` sends prompts as a user's turn; ``"completions"`` as text, and can score options.
        key: sent as a bearer token; never stored.
        parallel: requests under way at once, >= 1.
        per_minute: requests begun in a minute at most; None for no limit.
        timeout: seconds until a request counts as failed, > 0.
        tries: how often a request is sent before the run stops, >= 1.
        backoff: seconds before the second try; doubled for each further, half of it at random.
        price_in, price_out: cost of a million tokens, for the sum that is shown.
    """

    url: str
    model: str
    api: Literal["chat", "completions"] = "chat"
    key: str | None = None
    parallel: int = 8
    per_minute: float | None = None
    timeout: float = 120.0
    tries: int = 8
    backoff: float = 1.0
    price_in: float = 0.0
    price_out: float = 0.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"an endpoint's address begins with http:// or https://, not '{self.url}'.")
        if self.parallel < 1 or self.tries < 1 or not self.timeout > 0 or self.backoff < 0:
            raise ConfigError("an endpoint needs parallel >= 1, tries >= 1, timeout > 0 and backoff >= 0.")
        if self.per_minute is not None and not self.per_minute > 0:
            raise ConfigError(f"per_minute must be above 0, not {self.per_minute}.")


class EndpointEngine(LM):
    """The harness's requests answered over HTTP, each answer stored as it arrives.

    Attributes:
        finish_reason: prompt -> what the endpoint said.
        on_answer: called once per answer.
        draw: which of several answers to each prompt is being drawn.
        tokens_in, tokens_out: tokens counted by the endpoint, those of stored answers included.
    """

    def __init__(self, settings: EndpointSettings, *, answers: AnswerLog | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.finish_reason: dict[str, str] = {}
        self.on_answer: Callable[[], None] = lambda: None
        self.draw = 0
        self.tokens_in = self.tokens_out = 0
        self._answers = answers
        self._clock = threading.Lock()
        self._next = 0.0

    @property
    def cost(self) -> float:
        """What the tokens cost at the prices of the settings."""
        s = self.settings
        return (self.tokens_in * s.price_in + self.tokens_out * s.price_out) / 1e6

    @property
    def tokenizer_name(self) -> str:
        """Return the name the harness files requests under."""
        return self.settings.model

    def describe(self) -> dict[str, str]:
        """Return what the provenance records; never the key."""
        s = self.settings
        told = {"engine": f"endpoint ({s.api})", "endpoint": s.url, "endpoint_model": s.model}
        told |= {"tokens_in": str(self.tokens_in), "tokens_out": str(self.tokens_out)}
        return told | ({"cost": f"{self.cost:.6f}"} if s.price_in or s.price_out else {})

    def template_hash(self) -> str:
        """Return ``"server"``: a chat endpoint applies its own template."""
        return "server" if self.settings.api == "chat" else ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the turns as JSON: the endpoint makes text of them."""
        return json.dumps(chat_history, ensure_ascii=False)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Return the text after each prompt."""
        found = self._all("generate_until", requests, self._generate)
        for request, (_, reason, *_) in zip(requests, found, strict=True):
            self.finish_reason[str(request.args[0])] = reason
        return [text for text, *_ in found]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return (log-likelihood, whether greedy) of each continuation."""
        if self.settings.api == "chat":
            raise ConfigError(
                "a chat endpoint gives no log-likelihoods of options. Use an endpoint with /completions, "
                "or a task that generates its answer."
            )
        found = self._all("loglikelihood", requests, self._score)
        return [(float(value), bool(greedy)) for value, greedy, *_ in found]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Raise: perplexities of a corpus are no predictions."""
        raise ConfigError("perplexity of a corpus is not what predictions are made of.")

    # ---------------------------------------------------------------- one request

    def _generate(self, prompt: str, arguments: dict[str, Any]) -> list[Any]:
        """Return text, finish reason and the two token counts."""
        until = arguments.get("until") or []
        until = [until] if isinstance(until, str) else list(until)
        sampled = bool(arguments.get("do_sample"))
        body: dict[str, Any] = {
            "model": self.settings.model,
            "max_tokens": int(arguments.get("max_gen_toks") or arguments.get("max_new_tokens") or 256),
            "temperature": float(arguments.get("temperature") or 1.0) if sampled else 0.0,
            "seed": self.draw,
        }
        if until:
            body["stop"] = until[:_STOPS]
        chat = self.settings.api == "chat"
        if chat:
            document = self._post("/chat/completions", {**body, "messages": _turns(prompt)})
        else:
            document = self._post("/completions", {**body, "prompt": prompt})
        choice = _first_choice(document, self.settings.url)
        text = (choice.get("message") or {}).get("content") if chat else choice.get("text")
        text, reason = text or "", str(choice.get("finish_reason") or "")
        for stop in until:
            if stop and stop in text:
                text, reason = text.split(stop)[0], "stop"
        return [text, reason, *_usage(document)]

    def _score(self, context: str, continuation: str) -> list[Any]:
        """Return log-likelihood, whether greedy, and the two token counts."""
        whole = context + continuation
        body = {"model": self.settings.model, "prompt": whole, "max_tokens": 1, "temperature": 0.0}
        document = self._post("/completions", {**body, "echo": True, "logprobs": 1})
        logprobs = _first_choice(document, self.settings.url).get("logprobs") or {}
        try:
            rows = zip(
                logprobs["tokens"],
                logprobs["token_logprobs"],
                logprobs["text_offset"],
                logprobs["top_logprobs"],
                strict=True,
            )
            start = len(context.rstrip())  # as the harness: trailing spaces belong to the continuation
            chosen = [r for r in rows if r[2] + len(r[0]) > start and r[2] < len(whole)]
            value = sum(float(r[1]) for r in chosen)
            greedy = all(max(r[3].values()) <= float(r[1]) for r in chosen)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{self.settings.url} returned no log-probabilities of the prompt (echo with logprobs). "
                f"Score options with another engine, or use a task that generates its answer."
            ) from error
        return [value, greedy, *_usage(document)]

    # ---------------------------------------------------------------- all requests

    def _all(self, kind: str, requests: Sequence[Instance], ask: Callable[..., list[Any]]) -> list[list[Any]]:
        """Return the answers in order: stored ones as they are, the others asked in parallel and stored."""
        names = [[kind, self.draw, *r.args] for r in requests]
        found: dict[int, list[Any]] = {}
        waiting: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            stored = None if self._answers is None else self._answers.get(name)
            if stored is None:  # the same question is asked once
                waiting.setdefault(json.dumps(name, sort_keys=True, default=str), []).append(i)
            else:
                self._take(found, [i], stored)
        with ThreadPoolExecutor(self.settings.parallel) as pool:
            jobs = {pool.submit(ask, *requests[same[0]].args): same for same in waiting.values()}
            try:
                for job in as_completed(jobs):
                    answer = job.result()
                    if self._answers is not None:
                        self._answers.put(names[jobs[job][0]], answer)
                    self._take(found, jobs[job], answer)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [found[i] for i in range(len(requests))]

    def _take(self, found: dict[int, list[Any]], places: Sequence[int], answer: list[Any]) -> None:
        self.tokens_in += int(answer[2])
        self.tokens_out += int(answer[3])
        for i in places:
            found[i] = answer
            self.on_answer()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request until it is answered; wait longer after each failure, as long as the server asks."""
        s = self.settings
        headers = {"Content-Type": "application/json"}
        if s.key:
            headers["Authorization"] = f"Bearer {s.key}"
        address = s.url.rstrip("/") + path
        why = ""
        for attempt in range(s.tries):
            self._wait_for_turn()
            pause: float | None = None
            try:
                request = urllib.request.Request(address, json.dumps(body).encode(), headers)
                with urllib.request.urlopen(request, timeout=s.timeout) as response:
                    document = json.load(response)
                if isinstance(document, dict):
                    return document
                why = "an answer that is no JSON object"
            except urllib.error.HTTPError as error:
                with error:
                    told = printable(error.read(500).decode("utf-8", "replace"), limit=200)
                if error.code not in _AGAIN:
                    raise RunError(f"{address} refused the request: {error.code} {told}") from error
                why, pause = f"{error.code} {told}", _retry_after(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
            if attempt + 1 < s.tries:
                wait = s.backoff * 2**attempt
                time.sleep(max(pause or 0.0, wait / 2 + random.uniform(0, wait / 2)))
        raise RunError(
            f"{address} did not answer in {s.tries} tries (last: {why}). What was answered is kept: "
            f"run the same command again to go on."
        )

    def _wait_for_turn(self) -> None:
        if self.settings.per_minute is None:
            return
        with self._clock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 60.0 / self.settings.per_minute
        time.sleep(turn - now)


def _turns(prompt: str) -> list[dict[str, str]]:
    """Return the messages of a prompt: those of `apply_chat_template`, or one user's turn."""
    if prompt.startswith('[{"role"'):
        return json.loads(prompt)
    return [{"role": "user", "content": prompt}]


def _first_choice(document: dict[str, Any], url: str) -> dict[str, Any]:
    try:
        return dict(document["choices"][0])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        shown = printable(json.dumps(document), limit=200)
        raise RunError(f"{url} returned no choices: {shown}") from error


def _usage(document: dict[str, Any]) -> tuple[int, int]:
    usage = document.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header: a number, or a date.

    Example:
        >>> _retry_after("2"), _retry_after(None), _retry_after("soon")
        (2.0, None, None)
    """
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
