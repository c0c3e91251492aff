"""What a remedy of an update may say."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from muscle_llm.errors import ConfigError
from muscle_llm.update.remedies import Distillation

pytestmark = pytest.mark.train


def test_the_default_is_the_published_method():
    found = Distillation()
    assert (found.mask, found.divergence, found.temperature) == ("student_wrong", "forward_kl", 2.0)
    assert (found.ce_weight, found.temperature_squared, found.selection) == (0.0, False, "cross_entropy")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask": "old_rigth"}, "remedy 'a': No mask is named 'old_rigth'. Did you mean 'old_right'"),
        ({"divergence": "kl"}, "No divergence is named 'kl'"),
        ({"selection": "nfrr"}, "No selection is named 'nfrr'. Did you mean 'nfr'"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"ce_weight": 2}, "between 0 and 1"),
        ({"accuracy_loss": 3}, "a share between 0 and 1"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ConfigError) as error:
        Distillation(name="a", **settings)
    assert message in str(error.value)
    assert "remedy 'a'" in str(error.value)
