"""Tables and sentences of a study, on scores whose means and spreads can be worked out by hand."""

import pytest

from bert_core.report.collect import collect_run
from bert_core.report.html import render_report
from bert_core.report.study import CurvePoint, StudyArm, TaskStudy, findings, study_markdown, study_rows
from bert_core.report.study_plots import curve_plot, starts_plot


def arm(name: str, *scores: float, kind: str = "order", transfer_seconds: float = 0.0) -> StudyArm:
    return StudyArm(
        task="mood",
        name=name,
        kind=kind,  # pyright: ignore[reportArgumentType]
        scores=scores,
        transfer_seconds=transfer_seconds,
        fine_tune_seconds=30.0,
    )


@pytest.fixture
def study() -> TaskStudy:
    points = [(0, 0.61), (50, 0.65), (100, 0.70), (200, 0.71)]
    return TaskStudy(
        task="mood",
        score_name="macro_f1",
        own="D",
        orders=(
            arm("random", 0.50, 0.52, 0.54),
            arm("base", 0.60, 0.62, 0.61),
            arm("D", 0.70, 0.72, 0.71, transfer_seconds=90.0),
            arm("T", 0.58, 0.66, 0.62, transfer_seconds=30.0),
        ),
        variants=(arm("token", 0.69, 0.72, 0.72, kind="variant"), arm("short", 0.60, 0.61, 0.59, kind="variant")),
        curve=tuple(CurvePoint(order="D", steps=steps, mean=mean, spread=0.01, num_seeds=3) for steps, mean in points),
        references=(("tfidf", 0.685), ("majority", 0.333)),
    )


def test_rows_hold_mean_spread_tests_and_cost(study):
    assert study_rows(study) == [
        [
            "start",
            "seeds",
            "macro F1",
            "spread",
            "against random",
            "in spreads",
            "p",
            "against base",
            "p",
            "against D",
            "p",
            "transfers, min",
            "fine-tune, min",
        ],
        ["random", "3", "52.0", "± 2.0", "–", "–", "–", "-9.0", "0.012", "–", "–", "0.0", "0.50"],
        ["base", "3", "61.0", "± 1.0", "+9.0", "+4.5", "0.012", "–", "–", "–", "–", "0.0", "0.50"],
        ["D (this recipe)", "3", "71.0", "± 1.0", "+19.0", "+9.5", "0.003", "+10.0", "< 0.001", *"––", "1.5", "0.50"],
        ["T", "3", "62.0", "± 4.0", "+10.0", "+2.5", "0.038", "+1.0", "0.622", "–", "–", "0.5", "0.50"],
        ["token", "3", "71.0", "± 1.7", "–", "–", "–", "–", "–", "+0.0", "1.000", "0.0", "0.50"],
        ["short", "3", "60.0", "± 1.0", "–", "–", "–", "–", "–", "-11.0", "0.003", "0.0", "0.50"],
        ["tfidf", "–", "68.5", *"––––––––––"],
        ["majority", "–", "33.3", *"––––––––––"],
    ]


def test_sentences_say_what_differs_and_what_does_not(study):
    assert findings(study) == [
        "base, D, T: better than random at p < 0.05",
        "D: better than base at p < 0.05",
        "T: not different from base at p < 0.05 with these seeds",
        "token: not different beside D (+0.0, p 1.000)",
        "short: worse beside D (-11.0, p 0.003)",
        "D beats tfidf (+2.5)",
        "D beats majority (+37.7)",
        "D: within one spread of its best (71.0 at 200 steps) from 100 of 200 steps on",
    ]


def test_columns_that_no_row_fills_are_left_out(study):
    alone = TaskStudy(
        task="mood", score_name="f1", own="base", orders=(arm("base", 0.5),), variants=(), curve=(), references=()
    )
    assert study_rows(alone)[0] == ["start", "seeds", "F1", "transfers, min", "fine-tune, min"]
    assert findings(alone) == []


def test_arms_with_other_seeds_are_not_tested(study):
    short = arm("D", 0.7, 0.8)
    assert study.test(short, "base") is None
    assert study.test(study.arm("base"), "base") is None


def test_markdown_has_a_table_for_each_task(study):
    text = study_markdown([study])
    assert text.startswith("### mood\n\n| start | seeds | macro F1 | spread |")
    assert "| base | 3 | 61.0 | ± 1.0 |" in text
    assert "- D: better than base at p < 0.05\n" in text


def test_pictures_are_the_same_bytes_for_the_same_study(study):
    assert starts_plot(study, "png") == starts_plot(study, "png")
    assert curve_plot(study, "svg") == curve_plot(study, "svg")
    assert starts_plot(study, "png").startswith(b"\x89PNG")


def test_a_picture_names_every_start_and_reference(study):
    text = starts_plot(study, "svg").decode("utf-8")
    names = ("random", "base", "D (this recipe)", "T", "token", "short", "tfidf", "majority")
    assert all(f">{name}<" in text for name in names)
    assert "macro F1 on test, %" in text
    assert "D: steps of its last transfer" in curve_plot(study, "svg").decode("utf-8")


def test_the_report_has_a_section_where_there_is_a_study(study):
    page = render_report(collect_run("tiny", "name: tiny\n", [], {}, studies=[study]))
    section = page[page.index('<section id="study">') :]
    section = section[: section.index("</section>")]
    assert '<a href="#study">Study</a>' in page
    assert section.count('class="plot"') == 2
    assert '<td class="number">+19.0</td>' in section
    assert "D: better than base at p &lt; 0.05" in section
    assert 'id="study"' not in render_report(collect_run("tiny", "name: tiny\n", [], {}))
