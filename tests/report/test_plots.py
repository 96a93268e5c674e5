import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from bert_core.report.canvas import inline_svg
from bert_core.report.plots import (
    confusion_matrix,
    loss_curve,
    loss_panels,
    read_metrics,
    score_bars,
    smoothed,
)
from bert_core.report.scores import score_rows

PNG = b"\x89PNG\r\n"


@pytest.fixture
def metrics_path(fake_run) -> Path:
    return fake_run.outputs["pretrain"][0] / "metrics.jsonl"


def test_smoothed_corrects_for_its_start():
    assert smoothed([4, 2, 2], 0.5) == pytest.approx([4, 8 / 3, 16 / 7])
    assert smoothed([]) == []


def test_smoothed_keeps_a_constant():
    assert smoothed([3.0] * 50) == pytest.approx([3.0] * 50)


@pytest.mark.parametrize(
    "evaluation",
    [
        {"split": "held_out", "step": 2, "mlm_loss": 4.0},
        {"split": "dev", "step": 2, "mlm_loss": 4.0},
        {"evaluation": True, "step": 2, "mlm_loss": 4.0},
        {"evaluation": True, "step": 2, "held_out_mlm_loss": 4.0},
    ],
)
def test_read_metrics_tells_evaluations_from_training(tmp_path, evaluation):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"split": "train", "step": 1, "loss": 5.0}) + "\n" + json.dumps(evaluation) + "\n")
    training, evaluations = read_metrics(path)
    assert [line["step"] for line in training] == [1]
    assert [(line["step"], line["mlm_loss"]) for line in evaluations] == [(2, 4.0)]


def test_read_metrics_splits_a_row_that_carries_both(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 3, "loss": 5.0, "held_out_mlm_loss": 4.0}\n')
    training, evaluations = read_metrics(path)
    assert training[0]["loss"] == 5.0
    assert evaluations == [{"step": 3, "mlm_loss": 4.0}]


def test_read_metrics_passes_over_a_half_line_and_strange_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n[1]\n{"loss": 2.0}\n{"step": 2, "lo')
    assert read_metrics(path) == ([{"step": 1, "loss": 2.0}], [])
    assert read_metrics(tmp_path / "none.jsonl") == ([], [])


@pytest.mark.parametrize("image_format", ["png", "svg"])
def test_loss_curve_is_byte_identical(metrics_path, image_format):
    first = loss_curve(metrics_path, image_format)
    assert first == loss_curve(metrics_path, image_format)
    assert first.startswith(PNG if image_format == "png" else b"<?xml")


def test_loss_curve_does_not_depend_on_a_matplotlibrc(metrics_path):
    expected = loss_curve(metrics_path, "svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert loss_curve(metrics_path, "svg") == expected
        assert matplotlib.rcParams["font.size"] == 30


def test_loss_curve_without_metrics_says_so(tmp_path):
    assert loss_curve(tmp_path / "none.jsonl").startswith(PNG)
    assert b"nothing recorded" in loss_curve(tmp_path / "none.jsonl", "svg")
    assert loss_panels(tmp_path / "none.jsonl") == []


def test_a_loss_that_is_not_finite_leaves_a_gap(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": 1.0}\n')
    assert len(loss_panels(path)) == 1


def test_a_stage_without_pairs_has_no_nsp_curve(tmp_path):
    path = tmp_path / "metrics.jsonl"
    line = {"split": "held_out", "mlm_loss": 4.0, "mlm_accuracy": 0.3, "nsp_accuracy": 0.0, "nsp_loss": 0.0}
    path.write_text("".join(json.dumps(line | {"step": step}) + "\n" for step in (1, 2)))
    accuracies = loss_panels(path)[1].decode()
    assert "MLM, held-out" in accuracies
    assert "NSP" not in accuracies


def test_long_curves_are_drawn_through_few_points(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "loss": {step % 7}}}\n' for step in range(20_000)))
    assert len(loss_panels(path)[0]) < 60_000


def test_inline_svg_takes_the_pages_colours_and_leaves_no_ids_of_groups(metrics_path):
    for panel in loss_panels(metrics_path):
        markup = inline_svg(panel, 'loss of "a" & <b>')
        assert markup.startswith('<svg class="plot" role="img" aria-label="loss of &quot;a&quot; &amp; &lt;b&gt;"')
        assert "var(--accent)" in markup or "var(--warm)" in markup
        assert not re.search(r"#[0-9a-f]{6}\b", markup)
        assert "<g id=" not in markup
        assert "http" not in markup.replace("http://www.w3.org/", "")
        assert "<style" not in markup


@pytest.mark.parametrize("image_format", ["png", "svg"])
def test_score_bars_and_confusion_matrix_are_byte_identical(fake_run, image_format):
    rows = score_rows([manifest for _, manifest in fake_run.outputs.values()])
    for draw in (
        lambda: score_bars(rows, image_format),
        lambda: confusion_matrix([[90, 5], [4, 80]], ["bad", "good"], image_format),
    ):
        assert draw() == draw()


def test_score_bars_of_nothing_is_a_picture():
    assert score_bars([]).startswith(PNG)


def test_labels_without_glyphs_are_drawn_by_number_in_png_without_warning(recwarn):
    confusion_matrix([[1, 0], [0, 1]], ["正面", "负面"], "png")
    assert [str(warning.message) for warning in recwarn] == []
    svg = confusion_matrix([[1, 0], [0, 1]], ["正面", "负面"], "svg").decode()
    assert "正面" in svg


def test_a_confusion_matrix_with_an_empty_row_is_drawn():
    assert confusion_matrix([[0, 0], [3, 1]], ["a", "b"]).startswith(PNG)


def test_neither_import_nor_drawing_loads_pyplot(tmp_path):
    program = (
        "import sys; from pathlib import Path; from bert_core.report import plots;"
        "assert 'matplotlib' not in sys.modules; plots.loss_curve(Path('none'));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
