"""Untrusted text made safe for Markdown."""

from __future__ import annotations

import re

from muscle_llm.text import printable

__all__ = ["escape_markdown"]

_GAP = "&#8203;"  # an invisible space: what stands before and after it is no longer one link or mention
_LINKS = re.compile(r"(https?|ftp|mailto|xmpp)(?=:)|www(?=\.)|gh(?=-\d)", re.IGNORECASE)


def escape_markdown(text: str, limit: int | None = None) -> str:
    r"""Return untrusted text as Markdown that shows it and nothing else, on one line: no HTML, no link, no
    mention.

    Args:
        text: any string.
        limit: cut to this many characters first.

    Example:
        >>> escape_markdown("a|b <b> [x](y) `c`")
        'a\\|b &lt;b&gt; \\[x\\](y) \\`c\\`'
        >>> escape_markdown("@me https://a.example"), escape_markdown("too long", 4)
        ('@&#8203;me https&#8203;://a.example', 'too…')
    """
    text = printable(text, limit=limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", text)
    # Hosts look for mentions and issues' numbers in the text as it is rendered, whatever escapes it has.
    text = re.sub(r"(@|#)(?=\w)", rf"\1{_GAP}", text)
    return _LINKS.sub(rf"\g<0>{_GAP}", text)
