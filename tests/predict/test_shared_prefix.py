"""Packed continuations: laws of the tree, and the separate runs' figures, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from muscle_llm.predict.shared_prefix import build_tree, pack, plan_batches  # noqa: E402

TOKENS = st.lists(st.integers(3, 6), min_size=1, max_size=5)
TREES = st.tuples(TOKENS, st.lists(TOKENS, min_size=1, max_size=4))


@given(TREES)
def test_every_continuation_can_be_read_back_from_the_tree(case: tuple[list[int], list[list[int]]]) -> None:
    context, continuations = case
    tree = build_tree(context, continuations)
    for continuation, row, target in zip(continuations, tree.rows, tree.targets, strict=True):
        assert list(target) == continuation
        # the row of token i is the node of the tokens before it, whose ancestors spell them
        for i, node in enumerate(row):
            spelled = []
            while node >= 0:
                spelled.append(tree.nodes[node])
                node = tree.parents[node]
            assert spelled[::-1] == continuation[:i]
    assert len(tree.nodes) == len({tuple(c[:i]) for c in continuations for i in range(1, len(c))})


def test_single_token_options_cost_nothing_beyond_the_context() -> None:
    assert build_tree([1, 2, 3], [[4], [5], [6]]).size == 3


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 4), st.integers(1, 100))
def test_batches_cover_everything_once_and_keep_the_limits(sizes: list[int], items: int, tokens: int) -> None:
    batches = plan_batches(sizes, max_items=items, max_tokens=tokens)
    assert sorted(i for b in batches for i in b) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) <= items
        assert len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= tokens
    firsts = [sizes[i] for b in batches for i in b]
    assert firsts == sorted(firsts, reverse=True)


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float64).eval()


@settings(max_examples=25, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=4))
def test_packed_logits_are_those_of_the_separate_runs(
    model: Any, cases: list[tuple[list[int], list[list[int]]]]
) -> None:
    trees = [build_tree(*case) for case in cases]
    packed = pack(trees, pad=0, dtype=torch.float64, device=torch.device("cpu"))
    with torch.no_grad():
        logits_BNV = model(
            input_ids=packed.ids_BT, attention_mask=packed.mask_B1TT, position_ids=packed.positions_BT
        ).logits[:, -packed.keep :]
        for b, (tree, (context, continuations)) in enumerate(zip(trees, cases, strict=True)):
            for continuation, row in zip(continuations, tree.rows, strict=True):
                alone_TV = model(input_ids=torch.tensor([context + continuation[:-1]])).logits[0]
                wanted = alone_TV[len(context) - 1 :]
                found = logits_BNV[b, [r + 1 for r in row]]
                torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
