"""The page: one HTML file that opens anywhere, makes no network requests, and runs only its own script."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from muscle_llm import __version__
from muscle_llm.comparison import Comparison
from muscle_llm.files import atomic_path
from muscle_llm.metrics.causes import CAUSES
from muscle_llm.report.bundle import (
    content_security_policy,
    embedded_json,
    packed_text,
    script,
    style,
    template,
)
from muscle_llm.report.definitions import TERMS
from muscle_llm.report.instances import (
    INLINE_BYTES,
    SERVED_BYTES,
    PackedInstances,
    distributions,
    kinds_of,
    pack_instances,
)
from muscle_llm.report.page import page_context

if TYPE_CHECKING:
    from muscle_llm.gate import Verdict

__all__ = ["render_html", "render_served", "write_html"]


def render_html(
    comparison: Comparison, *, verdict: Verdict | None = None, inline_bytes: int = INLINE_BYTES
) -> str:
    """Render a comparison as one self-contained HTML page.

    All texts of models stand in the page as data only: in JSON inside a script element of a data type, or
    packed; scripts show them as text. The policy forbids the network and every script and style but its own.

    Args:
        comparison: what to show.
        verdict: what a policy says of it, shown on top.
        inline_bytes: size of the instances above which those that did not flip are sampled; the page says so.

    Returns:
        The HTML text; the same comparison gives the same text.
    """
    packed = pack_instances(comparison, inline_bytes=inline_bytes)
    return _render(comparison, verdict, packed, inline_bytes, served=False)


def render_served(comparison: Comparison, *, limit_bytes: int = SERVED_BYTES) -> tuple[str, PackedInstances]:
    """Render the page that asks its own server for the texts, and return it with what is to be served.

    Args:
        comparison: what to show.
        limit_bytes: size of index and texts above which those that did not flip are sampled.
    """
    packed = pack_instances(comparison, inline_bytes=limit_bytes)
    return _render(comparison, None, packed, limit_bytes, served=True), packed


def _render(
    comparison: Comparison, verdict: Verdict | None, packed: PackedInstances, limit: int, *, served: bool
) -> str:
    document = comparison.to_dict()
    if verdict is not None:
        document["verdict"] = verdict.to_dict()
    code, looks = script(), style()
    vocabulary = {
        "terms": {t.name: [t.label, t.text, t.formula] for t in TERMS.values()},
        "quadrants": [[q.name, q.label, q.text] for q in kinds_of(comparison)],
        "distributions": distributions(comparison),
        "causes": CAUSES,
        "served": served,
    }
    return template("page.html.j2").render(
        **page_context(document),
        policy=content_security_policy((code,), (looks,), connect="'self'" if served else ""),
        code=code,
        looks=looks,
        document_json=embedded_json(document),
        vocabulary_json=embedded_json(vocabulary),
        index=packed_text(embedded_json(packed.index)),
        chunks=[] if served else [packed_text(chunk) for chunk in packed.chunks],
        sampled=packed.index["n"] < packed.index["total"],
        kept=packed.index["n"],
        total=packed.index["total"],
        limit_mb=limit // 1_000_000,
        served=served,
        version=__version__,
    )


def write_html(
    comparison: Comparison,
    path: str | os.PathLike[str],
    *,
    verdict: Verdict | None = None,
    inline_bytes: int = INLINE_BYTES,
) -> None:
    """Write the page of `render_html` to ``path``, whole or not at all."""
    text = render_html(comparison, verdict=verdict, inline_bytes=inline_bytes)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
