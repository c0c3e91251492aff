"""Untrusted text made safe for Markdown."""

from __future__ import annotations

import re

from muscle_llm.text import printable

__all__ = ["escape_markdown"]


def escape_markdown(text: str) -> str:
    r"""Return untrusted text so that it stays text in Markdown, on one line.

    Example:
        >>> escape_markdown("a|b <b> [x](y) `c`")
        'a\\|b &lt;b&gt; \\[x\\](y) \\`c\\`'
    """
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", text)
    # A mention or an issue's number in a model's answer must notify nobody; hosts look for them in the text
    # as it is rendered.
    return re.sub(r"(@|#)(?=\w)", "\\1\u200b", text)
