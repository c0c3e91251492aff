"""The served page: the same data, to this machine only."""

from __future__ import annotations

import http.client
import json
import threading

import pytest

from muscle_llm.report.serve import PageServer, Served


@pytest.fixture(scope="module")
def server(comparison):
    with PageServer({"a b": Served.from_comparison(comparison)}) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server, path, host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, dict(answer.getheaders())


def test_page_chunks_and_search(server, comparison):
    status, body, headers = ask(server, "/a%20b/")
    assert status == 200
    assert b"connect-src &#39;self&#39;" in body
    assert b'class="chunk"' not in body
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, body, _ = ask(server, "/a%20b/chunk-0")
    assert status == 200
    assert json.loads(body)["prompt"][0] == comparison.instances["prompt"][0].as_py()
    _, body, _ = ask(server, "/a%20b/search?q=Q-00017")
    assert json.loads(body) == [17]


def test_the_first_page_is_at_the_root(server):
    status, _, headers = ask(server, "/")
    assert (status, headers["Location"]) == (302, server.address)


@pytest.mark.parametrize(
    "path", ["/x/", "/a%20b/chunk-99999", "/a%20b/../../etc/passwd", "/a%20b/chunk-x", "//"]
)
def test_nothing_else_is_served(server, path):
    assert ask(server, path)[0] in (302, 404)


@pytest.mark.parametrize("host", ["example.invalid", "127.0.0.1", "127.0.0.1:1", ""])
def test_only_requests_to_the_loopback_address_are_answered(server, host):
    assert ask(server, "/a%20b/", host=host)[0] == 403


def test_nothing_can_be_sent_to_it(server):
    assert ask(server, "/a%20b/", method="POST")[0] == 501


def test_it_listens_on_loopback_only(server):
    assert server.server_address[0] == "127.0.0.1"
