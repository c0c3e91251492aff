"""The page served on loopback: the same page, with the texts of the instances sent as they are needed.

For comparisons whose texts are too large for one file. The server answers only requests that name it as the
loopback address, so that no web site can reach it through a name of its own; nothing is written.
"""

from __future__ import annotations

import http.server
import json
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import numpy as np
import pyarrow as pa

from muscle_llm.comparison import Comparison
from muscle_llm.predictions.arrow import pc
from muscle_llm.report.html import render_served
from muscle_llm.report.instances import PackedInstances

__all__ = ["PageServer", "Served"]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass
class Served:
    """What one page needs: its HTML, the chunks of texts, and the search over them."""

    page: bytes
    chunks: Sequence[str]
    texts: Sequence[pa.ChunkedArray] = field(repr=False)

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> Served:
        """Render the page and keep the texts at hand."""
        page, packed = render_served(comparison)
        return cls(page.encode(), packed.chunks, _searchable(comparison, packed))

    def find(self, query: str) -> list[int]:
        """Return the rows in whose texts the query occurs, whatever the case of its letters."""
        hits = np.zeros(len(self.texts[0]), dtype=bool)
        for column in self.texts:
            found = pc.match_substring(column, pattern=query, ignore_case=True)
            hits |= pc.fill_null(found, False).to_numpy(zero_copy_only=False)
        return np.flatnonzero(hits).tolist()


def _searchable(comparison: Comparison, packed: PackedInstances) -> list[pa.ChunkedArray]:
    table = comparison.instances
    if len(packed.rows) < table.num_rows:
        table = table.take(pa.array(packed.rows))
    columns = [n for n in table.column_names if n in ("id", "prompt") or n.startswith(("answer:", "output:"))]
    texts = [table[name] for name in columns]
    if "references" in table.column_names:
        joined = pc.binary_join(table["references"], "\n")
        texts.append(joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined]))
    return texts


class PageServer(http.server.ThreadingHTTPServer):
    """Serves pages by name under ``/NAME/``; the first one is also at ``/``.

    Args:
        pages: name -> what it needs.
        port: 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, pages: dict[str, Served], port: int = 0) -> None:
        self.pages = pages
        super().__init__(("127.0.0.1", port), _Handler)

    def addresses(self) -> list[str]:
        """Where the pages are."""
        quoted = (urllib.parse.quote(name, safe="") for name in self.pages)
        return [f"http://127.0.0.1:{self.server_port}/{name}/" for name in quoted]

    @property
    def address(self) -> str:
        """Where the first page is."""
        return self.addresses()[0]


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET requests for a page, one of its chunks, or a search."""

    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "muscle-llm", ""

    def do_GET(self) -> None:
        """Answer one request."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self._send(HTTPStatus.FORBIDDEN, b"Only the loopback address is served.", "text/plain")
            return
        address = urllib.parse.urlsplit(self.path)
        name, _, rest = urllib.parse.unquote(address.path).lstrip("/").partition("/")
        if not name:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", self.server.address)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        served = self.server.pages.get(name)
        chunk = re.fullmatch(r"chunk-(\d{1,9})", rest)
        if served is not None and rest == "":
            self._send(HTTPStatus.OK, served.page, "text/html; charset=utf-8")
        elif served is not None and chunk is not None and int(chunk[1]) < len(served.chunks):
            self._send(HTTPStatus.OK, served.chunks[int(chunk[1])].encode(), "application/json")
        elif served is not None and rest == "search":
            query = urllib.parse.parse_qs(address.query, keep_blank_values=True).get("q", [""])[0]
            self._send(HTTPStatus.OK, json.dumps(served.find(query)).encode(), "application/json")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"There is nothing here.", "text/plain")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for header, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the command."""
