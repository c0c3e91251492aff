"""A Chromium for the tests of the page; they are skipped, with the reason, where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from muscle_llm.comparison import Comparison
from muscle_llm.report.html import write_html

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)

_PLACE = Path(__file__).parents[1] / "report" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("generated_comparisons", _PLACE)
assert _SPEC is not None
assert _SPEC.loader is not None
generated = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generated)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = (
        os.environ.get("MUSCLE_LLM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=FLAGS.split())
        yield chromium
        chromium.close()


class Opened:
    """An open page, with everything it asked of the network and every complaint of the browser."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda r: self.requests.append(r.url))
        page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("dialog", lambda d: (self.complaints.append(f"dialog {d.message}"), d.dismiss()))

    def go(self, address: str) -> Opened:
        self.page.goto(address)
        self.page.wait_for_selector("body[data-ready=all]", timeout=60_000)
        return self

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def searched(self, words: str) -> Opened:
        """Wait until the list is that of the words: the page takes them up when the typing has paused."""
        self.page.wait_for_function(
            "words => new URLSearchParams(location.hash.slice(1)).get('search') === words", arg=words
        )
        return self

    def kinds(self) -> set[str]:
        """Kinds of the rows in sight."""
        return set(
            self.page.eval_on_selector_all("#table .rows .kind", "all => all.map(e => e.innerText.trim())")
        )

    def shown(self) -> int:
        return int(self.page.inner_text("#shown").replace(",", ""))


@pytest.fixture
def open_address(browser: Any) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_(address: str, **options: Any) -> Opened:
        settings = {"viewport": {"width": 1440, "height": 900}, **options}
        contexts.append(browser.new_context(**settings))
        return Opened(contexts[-1].new_page()).go(address)

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(open_address: Callable[..., Opened]) -> Callable[..., Opened]:
    def open_(path: Path, fragment: str = "", **options: Any) -> Opened:
        return open_address(path.as_uri() + fragment, **options)

    return open_


@pytest.fixture(scope="session")
def make_comparison() -> Callable[..., Comparison]:
    return generated.make


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    return generated.make(600)


@pytest.fixture(scope="session")
def page_file(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_html(comparison, path)
    return path


@pytest.fixture
def write_pair(tmp_path: Path) -> Callable[..., Path]:
    """Write the page of two versions given as columns."""
    from muscle_llm.comparison import compare
    from muscle_llm.predictions.schema import Predictions

    def write(old: dict[str, Any], new: dict[str, Any]) -> Path:
        path = tmp_path / "page.html"
        write_html(compare(Predictions.from_columns(old), Predictions.from_columns(new)), path)
        return path

    return write


@pytest.fixture(scope="session")
def make_large() -> Callable[..., Comparison]:
    return generated.make_large


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(os.environ.get("MUSCLE_LLM_SHARED", Path(__file__).parents[3] / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data are not there: {folder} (set MUSCLE_LLM_SHARED)")
    return folder
