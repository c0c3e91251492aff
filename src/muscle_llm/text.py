"""Text for people: counts in the right number, and untrusted text made safe for a terminal."""

from __future__ import annotations

import re

__all__ = ["counted", "printable"]

# C0 and C1 controls, bidirectional marks and overrides, invisible separators and tags, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)


def counted(count: int | None, one: str, many: str) -> str:
    """Return a count before what is counted, in the right number.

    Example:
        >>> counted(1, "row has", "rows have"), counted(0, "row has", "rows have")
        ('1 row has', '0 rows have')
    """
    return f"{count} {one if count == 1 else many}"


def printable(text: str, *, newlines: bool = False, limit: int | None = None) -> str:
    r"""Return ``text`` with every character that could steer a terminal shown as an escape.

    Model outputs are untrusted: an escape sequence could rewrite the screen, a bidirectional
    override could show another order than the bytes have.

    Args:
        text: any string, lone surrogates included.
        newlines: keep line breaks and tabs; otherwise they are escaped too.
        limit: cut to this many characters and say so with an ellipsis.

    Example:
        >>> printable("a\x1b[31mred\nb")
        'a\\x1b[31mred\\nb'
        >>> printable("long text", limit=5)
        'long…'
    """
    if limit is not None and len(text) > limit:
        text = text[: max(0, limit - 1)] + "…"
    text = _UNSAFE.sub(lambda m: m.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)
    return text if newlines else text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
