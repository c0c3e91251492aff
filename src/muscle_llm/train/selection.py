"""Which epoch is kept: by validation cross-entropy, or by negative flips at a bounded loss of accuracy.

A held-out example counts as right when greedy decoding from its prompt would give its completion exactly,
which one forward pass over both tells: every token of the completion is the likeliest one there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from muscle_llm.distill.heads import Head, final_hidden, head_of
from muscle_llm.errors import ConfigError, did_you_mean
from muscle_llm.train.data import TokenRow, collate

__all__ = [
    "SELECTIONS",
    "check_selection",
    "completion_span",
    "completions_right",
    "flip_metrics",
    "likeliest_tokens",
    "rows_right",
    "selection_score",
]

SELECTIONS = {
    "cross_entropy": "the lowest validation cross-entropy (the paper's)",
    "nfr": "the fewest negative flips on the validation part, at a bounded loss of accuracy",
}


def check_selection(name: str, accuracy_loss: float) -> None:
    """Raise ConfigError for an unknown way to choose the epoch, or a bound that is no share.

    Example:
        >>> check_selection("nfr", 0.01)
    """
    if name not in SELECTIONS:
        raise ConfigError(f"No selection is named '{name}'. {did_you_mean(name, SELECTIONS)}")
    if not 0 <= accuracy_loss <= 1:
        raise ConfigError(f"accuracy_loss must be a share between 0 and 1, not {accuracy_loss!r}.")


def completion_span(row: TokenRow, eos: int | None) -> tuple[int, int]:
    """Return the first position of a row's completion and the one after its last, end-of-sequence left out.

    Example:
        >>> completion_span(TokenRow(0, (5, 6, 7, 2), 0, completion_from=2), eos=2)
        (2, 3)
    """
    end = len(row.tokens)
    if eos is not None and end > 0 and row.tokens[-1] == eos:
        end -= 1
    return max(1, row.completion_from), end


def likeliest_tokens(hidden_NH: Tensor, head: Head, chunk_tokens: int = 256) -> Tensor:
    """Return the likeliest next token at each position, (N,), chunk by chunk.

    Example:
        >>> likeliest_tokens(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), Head(torch.eye(2))).tolist()
        [0, 1]
    """
    with torch.no_grad():
        return torch.cat([head.logits(part).argmax(dim=-1) for part in hidden_NH.split(chunk_tokens)])


def completions_right(
    likeliest_BT: Tensor, ids_BT: Tensor, spans: Sequence[tuple[int, int]]
) -> list[bool | None]:
    """Tell of each row whether greedy decoding would give its completion.

    Args:
        likeliest_BT: the likeliest token *after* each position.
        ids_BT: the tokens.
        spans: of the completions, as :func:`completion_span` gives them.

    Returns:
        One entry per row; None where there is no completion.

    Example:
        >>> ids = torch.tensor([[4, 5, 6]])
        >>> completions_right(torch.tensor([[9, 6, 9]]), ids, [(2, 3)])
        [True]
    """
    same_BT = (likeliest_BT[:, :-1] == ids_BT[:, 1:]).cpu()
    return [
        bool(same_BT[b, start - 1 : end - 1].all()) if end > start else None
        for b, (start, end) in enumerate(spans)
    ]


def rows_right(
    model: nn.Module, rows: Sequence[TokenRow], eos: int | None, batch_size: int = 8, *, plain: bool = False
) -> dict[int, bool]:
    """Tell of each row whether a model's greedy decoding would give its completion.

    Args:
        model: in evaluation mode.
        rows: with prompt and completion.
        eos: the end-of-sequence token, which is not judged.
        batch_size: rows at a time.
        plain: compute whole logits, for a model whose head is not understood.

    Returns:
        By the row's number; rows without a completion are left out.
    """
    found: dict[int, bool] = {}
    device = next(model.parameters()).device
    ordered = sorted(rows, key=lambda row: (-len(row.tokens), row.index))
    for start in range(0, len(ordered), batch_size):
        part = ordered[start : start + batch_size]
        ids_BT = collate(part)["input_ids"].to(device)
        with torch.no_grad():
            if plain:
                likeliest_BT = model(input_ids=ids_BT).logits.argmax(dim=-1)
            else:
                hidden_BTH = final_hidden(model, ids_BT)
                likeliest_BT = likeliest_tokens(hidden_BTH.flatten(0, 1), head_of(model).frozen()).view_as(
                    ids_BT
                )
        right = completions_right(likeliest_BT, ids_BT, [completion_span(row, eos) for row in part])
        found |= {row.index: said for row, said in zip(part, right, strict=True) if said is not None}
    return found


def flip_metrics(old: Mapping[int, bool], student: Mapping[int, bool]) -> dict[str, float]:
    """Return accuracy, negative and positive flip rate over the rows both judged, as shares.

    Formula: NFR = mean 1[old right and student wrong]; PFR = mean 1[old wrong and student right]

    Args:
        old: row -> whether the old task model has it right.
        student: row -> whether the student has it right.

    Returns:
        ``accuracy``, ``nfr`` and ``pfr``; nothing where no row was judged.

    Example:
        >>> flip_metrics({0: True, 1: False}, {0: False, 1: False})
        {'accuracy': 0.0, 'nfr': 0.5, 'pfr': 0.0}

    Source: paper, section 3.
    """
    rows = [row for row in student if row in old]
    if not rows:
        return {}
    n = len(rows)
    return {
        "accuracy": sum(student[row] for row in rows) / n,
        "nfr": sum(old[row] and not student[row] for row in rows) / n,
        "pfr": sum(student[row] and not old[row] for row in rows) / n,
    }


def selection_score(nfr: float, accuracy: float, floor: float, cross_entropy: float, count: int) -> float:
    """Return what is smallest for the epoch to keep.

    An epoch whose accuracy is at least ``floor`` beats every other; among these the lowest NFR wins, and
    among equals the lowest cross-entropy. Where no epoch reaches the floor, the most accurate one wins.

    Args:
        nfr: share, a multiple of 1 / count.
        accuracy: share.
        floor: the accuracy to be reached.
        cross_entropy: nats, 0 or more.
        count: rows judged.

    Example:
        >>> better = selection_score(0.1, 0.8, floor=0.75, cross_entropy=2.0, count=10)
        >>> better < selection_score(0.0, 0.7, floor=0.75, cross_entropy=1.0, count=10)
        True
    """
    tie = cross_entropy / (1 + cross_entropy) / (2 * count)  # below the smallest step of a share
    if accuracy >= floor - 1e-12:
        return nfr + tie
    return 2 + (floor - accuracy) + tie
