"""Scripts, styles and data of the page, made safe to stand in one HTML file."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from muscle_llm.text import printable

__all__ = [
    "LIBRARIES",
    "SCRIPTS",
    "STYLES",
    "content_security_policy",
    "embedded_json",
    "packed_text",
    "script",
    "style",
    "template",
]

_ASSETS = Path(__file__).parent / "assets"

LIBRARIES = ("d3.js", "virtual.js", "diff.js")
# One scope, in this order: what stands later uses what stands before.
SCRIPTS = (
    "dom.js",
    "data.js",
    "state.js",
    "select.js",
    "differences.js",
    "table.js",
    "choices.js",
    "found.js",
    "detail.js",
    "export.js",
    "quadrants.js",
    "flow.js",
    "distribution.js",
    "slices.js",
    "remedies.js",
    "filters.js",
    "tips.js",
    "main.js",
)
STYLES = ("base.css", "overview.css", "plots.css", "instances.css", "print.css")


@functools.cache
def script() -> str:
    """Return the page's one script: the libraries, then the page's own files in one strict scope."""
    libraries = [_read("vendor", name) for name in LIBRARIES]
    own = [_read("js", name) for name in SCRIPTS if (_ASSETS / "js" / name).exists()]
    return "\n".join([*libraries, '(() => {\n"use strict";', *own, "})();\n"])


@functools.cache
def style() -> str:
    """Return the page's one style sheet."""
    return "\n".join(_read("css", name) for name in STYLES)


def template(name: str) -> jinja2.Template:
    """Return a template in which every text is escaped, and no character steers or hides others."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    return (
        printable(value, newlines=True) if isinstance(value, str) and not isinstance(value, Markup) else value
    )


def _read(*parts: str) -> str:
    return _ASSETS.joinpath(*parts).read_text(encoding="utf-8").strip()


def content_security_policy(scripts: tuple[str, ...], styles: tuple[str, ...], *, connect: str = "") -> str:
    """Return a policy that allows exactly these scripts and styles, and nothing from anywhere else.

    Args:
        scripts: the texts of the inline scripts, exactly as they stand between their tags.
        styles: the same of the style sheets.
        connect: where data may be fetched from, such as ``"'self'"`` for a served page; nowhere by default.

    Example:
        >>> content_security_policy(("a",), ())[:60]
        "default-src 'none'; script-src 'sha256-ypeBEsobvcr6wjGzmiPcT"
    """
    rules = [
        "default-src 'none'",
        f"script-src {_hashes(scripts)}",
        f"style-src {_hashes(styles)}",
        "img-src data:",
        *([f"connect-src {connect}"] if connect else []),
        "base-uri 'none'",
        "form-action 'none'",
        # No script may turn a string into markup or code, whatever the string is.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(rules)


def _hashes(texts: tuple[str, ...]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests) or "'none'"


def embedded_json(document: Any) -> str:
    r"""Return JSON that cannot end the script element it stands in, nor start a comment there.

    Example:
        >>> embedded_json({"a": "</script><!--\u2028"})
        '{"a":"\\u003c/script\\u003e\\u003c!--\\u2028"}'
    """
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def packed_text(text: str) -> str:
    """Return ``text`` as base64 of gzip: small, and free of every character that HTML knows.

    Example:
        >>> import gzip, base64
        >>> gzip.decompress(base64.b64decode(packed_text("</script>"))).decode()
        '</script>'
    """
    packed = gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=3, mtime=0)
    return base64.b64encode(packed).decode("ascii")
