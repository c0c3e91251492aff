"""The logs of the project's own making, as a fixture."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_PLACE = Path(__file__).with_name("written_logs.py")


def _module() -> ModuleType:
    if "written_logs" not in sys.modules:
        spec = importlib.util.spec_from_file_location("written_logs", _PLACE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["written_logs"] = module
        spec.loader.exec_module(module)
    return sys.modules["written_logs"]


@pytest.fixture(scope="session")
def logs() -> ModuleType:
    """The module that writes small logs of every format."""
    return _module()
