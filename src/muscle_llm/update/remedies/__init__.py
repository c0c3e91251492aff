"""The remedies: ways to make a new task model compatible with the old one, one file per kind.

A kind is a frozen dataclass of settings that lists its stages. A new one is a file and a line in
:data:`KINDS`.
"""

from __future__ import annotations

from muscle_llm.update.remedies.base import Remedy
from muscle_llm.update.remedies.dial import Dial
from muscle_llm.update.remedies.distillation import Distillation
from muscle_llm.update.remedies.ensemble import Ensemble
from muscle_llm.update.remedies.rerank import Rerank

__all__ = ["KINDS", "RECIPES", "Dial", "Distillation", "Ensemble", "Remedy", "Rerank"]

# What `kind:` of a remedy may say in an update's settings; the first is the default.
KINDS: dict[str, type[Remedy]] = {
    "distillation": Distillation,
    "dial": Dial,
    "ensemble": Ensemble,
    "rerank": Rerank,
}

# What a name alone stands for in an update's settings, best first. `keep` follows the old model unless the
# new one alone is right, and so asks for no change where the update gained: studies/remedies has its figures.
RECIPES: dict[str, Remedy] = {
    "keep": Distillation("keep", mask="old_unless_new_right", temperature=1.0, ce_weight=0.3),
    "muscle": Distillation("muscle"),
}
