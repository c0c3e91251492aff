"""All continuations of one context in one sequence, each blind to the others.

A multiple-choice instance asks for the log-likelihood of several continuations of the same context. Run one
by one, the context is computed once per continuation. Here a context C and the tree of its continuations'
tokens make one sequence: every token sees the context and its own ancestors, and stands at the position it
would have had alone. So each token's logits are those of the separate run, up to the order of the sums.

    context   a b c                 mask    a b c d e x
    options   d e f | d x y                 ...
    tree      d -> e                  e  ->  1 1 1 1 1 .      (last tokens are only targets)
              d -> x                  x  ->  1 1 1 1 . 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Packed", "Tree", "build_tree", "pack", "plan_batches"]


@dataclass(frozen=True, slots=True)
class Tree:
    """One context and the tokens that follow it in any of its continuations.

    Attributes:
        context: token ids, at least one.
        nodes: token id per node; a node is a distinct beginning of a continuation, its last token left out.
        parents: index of each node's parent, below its own; -1 for the context's last token.
        rows: per continuation, the node whose logits predict each of its tokens; -1 for the context's last.
        targets: per continuation, its token ids.
    """

    context: tuple[int, ...]
    nodes: tuple[int, ...]
    parents: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    targets: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """How many tokens the model sees."""
        return len(self.context) + len(self.nodes)


def build_tree(context: Sequence[int], continuations: Sequence[Sequence[int]]) -> Tree:
    """Return the tree of several continuations of one context.

    Args:
        context: token ids, at least one.
        continuations: token ids of each, at least one each.

    Example:
        >>> tree = build_tree([7, 8], [[1, 2, 3], [1, 4], [1, 2, 5]])
        >>> tree.nodes, tree.parents
        ((1, 2), (-1, 0))
        >>> tree.rows
        ((-1, 0, 1), (-1, 0), (-1, 0, 1))
    """
    index: dict[tuple[int, int], int] = {}
    rows: list[tuple[int, ...]] = []
    for continuation in continuations:
        row, node = [-1], -1
        for token in continuation[:-1]:
            node = index.setdefault((node, int(token)), len(index))
            row.append(node)
        rows.append(tuple(row))
    return Tree(
        context=tuple(map(int, context)),
        nodes=tuple(token for _, token in index),
        parents=tuple(parent for parent, _ in index),
        rows=tuple(rows),
        targets=tuple(tuple(map(int, c)) for c in continuations),
    )


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch of trees as the model's inputs: contexts end, and trees begin, in the same column.

    Attributes:
        ids_BT: token ids.
        positions_BT: position of each token in its own sequence.
        mask_B1TT: added to attention scores: 0 where a token sees another, the type's
            smallest number elsewhere.
        keep: how many last columns carry logits that are needed: the contexts' last token and the nodes.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    mask_B1TT: Tensor
    keep: int


def pack(trees: Sequence[Tree], *, pad: int, dtype: torch.dtype, device: torch.device) -> Packed:
    """Lay trees out side by side, contexts padded on the left, nodes on the right.

    Padding sees itself only, so that no row of the mask is empty; nothing sees padding.

    Args:
        trees: at least one.
        pad: any valid token id.
        dtype: of the model's activations.
        device: of the model.
    """
    ends = max(len(t.context) for t in trees)
    width = ends + max(len(t.nodes) for t in trees)
    ids_BT = np.full((len(trees), width), pad, np.int64)
    positions_BT = np.zeros((len(trees), width), np.int64)
    sees_BTT = np.zeros((len(trees), width, width), bool)
    sees_BTT[:, np.arange(width), np.arange(width)] = True
    for b, tree in enumerate(trees):
        start, length = ends - len(tree.context), len(tree.context)
        ids_BT[b, start:ends] = tree.context
        positions_BT[b, start:ends] = np.arange(length)
        sees_BTT[b, start:ends, start:ends] = np.tri(length, dtype=bool)
        for n, (token, parent) in enumerate(zip(tree.nodes, tree.parents, strict=True)):
            column = ends + n
            ids_BT[b, column] = token
            # a node sees what its parent sees, and itself; parents come first
            sees_BTT[b, column] |= sees_BTT[b, ends + parent]
            positions_BT[b, column] = positions_BT[b, ends + parent] + 1
    sees = torch.from_numpy(sees_BTT).to(device)
    mask_BTT = torch.zeros(sees.shape, dtype=dtype, device=device)
    mask_BTT.masked_fill_(~sees, torch.finfo(dtype).min)
    return Packed(
        ids_BT=torch.from_numpy(ids_BT).to(device),
        positions_BT=torch.from_numpy(positions_BT).to(device),
        mask_B1TT=mask_BTT[:, None],
        keep=width - ends + 1,
    )


def plan_batches(sizes: Sequence[int], *, max_items: int | None, max_tokens: int) -> list[list[int]]:
    """Return batches of indices, longest sequences first, so that little is padded.

    Args:
        sizes: tokens per sequence.
        max_items: sequences per batch at most.
        max_tokens: padded tokens per batch at most; a longer single sequence stands alone.

    Example:
        >>> plan_batches([3, 9, 4, 4], max_items=2, max_tokens=9)
        [[1], [2, 3], [0]]
    """
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    batches: list[list[int]] = []
    for i in order:
        last = batches[-1] if batches else None
        # the first of a batch is its longest
        fits = last is not None and (len(last) + 1) * sizes[last[0]] <= max_tokens
        if last is not None and fits and (max_items is None or len(last) < max_items):
            last.append(i)
        else:
            batches.append([i])
    return batches
