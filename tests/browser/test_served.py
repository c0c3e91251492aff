"""The served page shows and searches what it does not carry."""

from __future__ import annotations

import threading

import pytest

from muscle_llm.report.serve import PageServer, Served


@pytest.fixture(scope="module")
def server(make_comparison):
    with PageServer({"words": Served.from_comparison(make_comparison(600, words=200))}) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_texts_come_from_the_server(open_address, server):
    opened = open_address(f"{server.address}#kind=regression")
    page = opened.page
    page.keyboard.press("n")
    page.wait_for_selector("#detail .panels")
    assert "So the answer is" in opened.text("#detail .panel[data-version=new]")
    page.click("#clear")
    page.fill("#search", "(17)")
    page.wait_for_selector("#shown:text-is('1')")
    assert "q-00017" in opened.text("#table .rows")
    assert opened.complaints == []
    assert all(url.startswith(server.address) for url in opened.requests)
