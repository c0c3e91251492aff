"""What stands in the page cannot be anything but what it is: data stays data, scripts are the page's own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.report import bundle

VENDOR = Path(bundle.__file__).parent / "assets" / "vendor"


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_embedded_json_reads_back_and_cannot_end_its_element(document):
    text = bundle.embedded_json(document)
    assert json.loads(text) == document
    assert text.isascii()
    assert not set("<>&") & set(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(max_examples=40, deadline=None)
def test_packed_text_reads_back_and_holds_no_markup(text):
    packed = bundle.packed_text(text)
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", packed)
    assert gzip.decompress(base64.b64decode(packed)).decode() == text


def test_scripts_and_styles_can_stand_in_an_element():
    assert "</script" not in bundle.script().lower()
    assert "<!--" not in bundle.script()
    assert "</style" not in bundle.style().lower()
    # A carriage return would be changed by the HTML parser, and the hash in the policy would not fit.
    assert "\r" not in bundle.script() + bundle.style()


def test_own_scripts_never_turn_text_into_markup():
    own = "".join(p.read_text(encoding="utf-8") for p in (VENDOR.parent / "js").glob("*.js"))
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert sink not in own


def test_every_script_of_the_folder_is_in_the_page():
    assert {p.name for p in (VENDOR.parent / "js").glob("*.js")} == set(bundle.SCRIPTS)


def test_vendored_files_are_the_ones_written_down_with_licences():
    listed = (VENDOR / "VENDORED.md").read_text(encoding="utf-8")
    files = sorted(VENDOR.glob("*.js"))
    assert {f.name for f in files} == set(bundle.LIBRARIES)
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() in listed
        assert (VENDOR / f"LICENSE.{file.stem}.txt").stat().st_size > 500
    assert sum(f.stat().st_size for f in files) < 2_000_000


def test_policy_names_each_hash_and_forbids_the_rest():
    policy = bundle.content_security_policy(("x",), ("y", "z"))
    digest = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.count("sha256-") == 3
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
