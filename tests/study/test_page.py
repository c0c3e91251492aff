"""The study's pages: every section is there, and its figures are those one computes by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from muscle_llm.errors import InputError
from muscle_llm.study.ablation import ablation_page
from muscle_llm.study.page import study_page
from muscle_llm.study.results import about_of, read_outcomes

pytestmark = pytest.mark.train

SECTIONS = [
    "Is the aim met?",
    "Remedies",
    "Chosen on the validation part",
    "Regularities of the paper",
    "Cost",
    "Every update and task",
    "Intervals",
]


@pytest.fixture(scope="module")
def page(study) -> str:
    return study_page(study)


@pytest.fixture
def small(write_study, tmp_path):
    """One update and task, two seeds: old right, and how many tenths of 200 instances others have wrong."""

    def rows(**wrong: int) -> list[dict]:
        return [
            {
                "update": "u",
                "task": "t",
                "seed": seed,
                "version": version,
                "role": {"both": "ensemble"}.get(version, "distillation"),
                "steps": 10,
                "tokens": 30 if version == "keep" else 20,
                "seconds": 2.0,
                "value": [0.0] * (20 * count) + [1.0] * (200 - 20 * count),
                "answer": [1] * (20 * count) + [0] * (200 - 20 * count),
            }
            for seed in (1, 2)
            for version, count in wrong.items()
        ]

    def make(*, share: float = 0.0, **wrong: int):
        versions = {"old": 0, "new": 4, "old_rerun": 1, "continued": 3, **wrong}
        return write_study(tmp_path / "small.parquet", rows(**versions), {"t": 200}, share=share)

    return make


def row_of(page: str, section: str, name: str, *, column: int = 0) -> list[str]:
    """The cells of a table's row, found by the text in one of its columns."""
    text = page[re.search(rf"(?m)^##+ {re.escape(section)}$", page).end() :]
    for line in text.splitlines():
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) > column and cells[column] == name:
            return cells
    raise AssertionError(f"no row {name!r} below {section!r}")


def test_every_section_in_its_order(page):
    assert re.findall(r"(?m)^## (.*)$", page) == SECTIONS
    for heading in ("Update size", "Update seed", "Task choice", "size, choice", "seed, summary"):
        assert f"\n### {heading}\n" in page
    assert "nan" not in page
    assert "95 % intervals" in page


def test_figures_by_hand(small):
    found = study_page(small(keep=2, muscle=3, both=1))
    # (4 - 2) / (4 - 1) of the excess; continued and muscle (4 - 3) / (4 - 1)
    keep = row_of(found, "Remedies", "keep")
    assert [c.split()[0] for c in keep] == ["keep", "1", "66.7", "+20.0", "+33.3", "+33.3"]
    assert row_of(found, "Remedies", "both")[1:3] == ["2", "100.0 [100.0, 100.0]"]
    assert row_of(found, "Remedies", "muscle")[5] == ""
    every = row_of(found, "u, t", "keep")
    assert [c.split()[0] for c in every] == ["keep", "80.0", "20.0", "+10.0", "20.0", "0.0", "-20.0", "-10.0"]
    assert row_of(found, "u, t", "both (two models)")[2].startswith("10.0 ")
    assert row_of(found, "Cost", "keep")[1:] == ["distillation", "1.00", "1.50", "1.00", "1"]


def test_the_aim_is_told_part_by_part(small):
    missed = study_page(small(keep=3, muscle=2))
    assert "**No**, for keep. Not met or not to be told: share, lead over continued, lead over m" in missed
    assert re.search(r"It removes 33\.3 \[.*\] % of .* flips\. Aim: 60 % or more; \*\*not met", missed)
    assert re.search(
        r"accuracy against `new` by \+10\.0 \[\+.*\] points\. Aim: no loss; \*\*met\*\*\.", missed
    )
    assert "its accuracy is below `new`'s in 0, with the whole interval in 0" in missed
    point = study_page(small(keep=2, muscle=3))
    assert "**By the point estimates, yes**, for keep." in point
    assert "**met by the point estimate, not by the whole interval**" in point
    assert "**Yes**, for keep." in study_page(small(keep=0, muscle=3))
    worse = study_page(small(keep=5))
    assert "by -10.0 [" in worse
    assert "its accuracy is below `new`'s in 1, with the whole interval in 1" in worse


def test_what_is_not_there_is_said(small):
    results = small(other=2)
    assert "It cannot be said: the results hold no keep." in study_page(results)
    assert row_of(study_page(results), "Remedies", "other")[5] == "–"
    without = study_page(results, default="other")
    assert "Not met or not to be told: lead over muscle." in without
    assert "nothing is chosen" in without


def test_a_remedy_for_some_tasks_only_is_marked_and_pooled_over_those(page):
    assert row_of(page, "Remedies", "rerank (exact, summary only)")[1] == "2"
    assert row_of(page, "Task exact", "rerank")[1] == "2"
    with pytest.raises(AssertionError):
        row_of(page[: page.index("### Task exact")], "Task choice", "rerank")


def test_an_aim_over_some_tasks_only_says_so(study):
    assert "**, for rerank (exact, summary only)." in study_page(study, default="rerank")


def test_the_pooled_share_is_that_of_the_sums(page, study):
    removed, excess = 0.0, 0.0
    for o in read_outcomes(study):
        values = o.values_VSN[..., ~o.validation_N]
        nfr = dict(zip(o.versions, (values < values[:1]).mean((1, 2)), strict=True))
        removed, excess = removed + nfr["new"] - nfr["keep"], excess + nfr["new"] - nfr["old_rerun"]
    assert row_of(page, "Remedies", "keep")[2].split()[0] == f"{100 * removed / excess:.1f}"


def test_the_choice_never_costs_two_models(page):
    text = page[page.index("## Chosen") : page.index("## Regularities")]
    chosen = re.findall(r"(?m)^\| \w+ \| \w+ \| ([^ ]+) \|", text)
    assert len(chosen) == 13  # the headings and 4 x 3
    assert not {"both", "rerank", "continued"} & set(chosen)


def test_correlations_count_their_points(page):
    assert row_of(page, "Regularities of the paper", "all but scores", column=1)[4] == "8"
    consistency = row_of(page, "Regularities of the paper", "NFR_mc, NFR (Figure 5)")
    assert consistency[1:2] + consistency[4:] == ["all", str(4 * (7 + 8))]
    assert float(consistency[2]) > 0.8


def test_settings_in_the_ablation(study):
    found = ablation_page(study)
    assert row_of(found, "size, choice", "keep")[1:5] == [r"old\_unless\_new\_right", "1.0", "0.3", ""]
    assert row_of(found, "size, choice", r"keep\_replay")[4] == "replay 400"
    assert row_of(found, "size, choice", "half")[4] == "kind dial, of keep, share 0.5"
    assert found.count("\n## ") == 12
    assert "On the validation part" in found


@pytest.mark.parametrize("validation", [True, False])
def test_the_ablation_is_of_the_part_asked_for(study, validation):
    o = read_outcomes(study)[0]
    kept = o.validation_N if validation else ~o.validation_N
    accuracy = o.values_VSN[o.versions.index("keep")][:, kept].mean()
    row = row_of(ablation_page(study, validation=validation), f"{o.update}, {o.task}", "keep")
    assert row[5].split()[0] == f"{100 * accuracy:.1f}"


def test_no_validation_part_for_the_ablation(small):
    with pytest.raises(InputError, match="no instances in its validation part"):
        ablation_page(small(keep=2))


def test_names_stay_text(write_study, small, tmp_path):
    hostile = "a|b<img src=x>[x](y)`"
    rows = pq.read_table(small(keep=2)).to_pylist()
    for row in rows:
        row["update"] = row["task"] = hostile
        row["version"] = hostile if row["version"] == "keep" else row["version"]
    path = write_study(tmp_path / "h.parquet", rows, {hostile: 200}, share=0.3, updates={hostile: "# <b>"})
    for found in (study_page(path, default=hostile, published=hostile), ablation_page(path)):
        assert "<img" not in found
        assert "<b>" not in found
        assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", found)
        tables = re.findall(r"(?m)(?:^\|.*\n)+", found)
        assert tables
        for table in tables:
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(widths) == 1


def test_pictures_are_shown_where_they_are_named(small):
    assert "![removed](plots/removed.svg)" in study_page(small(keep=2), plots=["plots/removed.svg"])


def test_results_come_back_as_written(study):
    found = read_outcomes(study)
    assert len(found) == 12
    assert {len(o.seeds) for o in found} == {5}
    assert [len(o.versions) for o in found if o.task == "choice"] == [9] * 4
    rows = pq.read_table(study).to_pylist()
    row = next(r for r in rows if (r["version"], r["task"]) == ("keep", "choice"))
    [o] = [o for o in found if (o.update, o.task) == (row["update"], "choice")]
    v, s = o.versions.index("keep"), o.seeds.index(row["seed"])
    np.testing.assert_array_equal(o.values_VSN[v, s], row["value"])
    np.testing.assert_array_equal(o.answers_VSN[v, s], row["answer"])
    assert o.steps_VS[v, s] == row["steps"]
    assert math.isnan(o.steps_VS[o.versions.index("half"), s])
    assert 0.15 < o.validation_N.mean() < 0.35
    assert about_of(study)["remedies"]["muscle"]["temperature"] == 2.0


def test_another_file_is_no_study(tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="does not hold a study's results"):
        study_page(path)
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(InputError, match="does not hold a study's results"):
        ablation_page(tmp_path / "text.parquet")


def test_a_study_without_results_says_so(write_study, tmp_path):
    with pytest.raises(InputError, match="without results"):
        study_page(write_study(tmp_path / "none.parquet", [], {}))
