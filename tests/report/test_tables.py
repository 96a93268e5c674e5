import pytest
from scipy.stats import binomtest

from bert_core.report.formats import DASH, count, duration, percent, size
from bert_core.report.scores import ScoreRow, score_rows
from bert_core.report.tables import markdown_table, rows_of, stage_rows


def test_stage_row_reads_a_transfer_stage(make_manifest):
    manifest = make_manifest(
        "pretrain",
        {
            "steps": 2000,
            "examples": 64_000,
            "train_loss": 3.21,
            "held_out_mlm_accuracy": 0.38,
            "held_out_nsp_accuracy": 0.78,
        },
        kind="transfer",
        seconds=620.0,
        num_bytes=1536,
    )
    (row,) = stage_rows([manifest])
    assert row.cells() == ("pretrain", "64,000", "2,000", "3.210", "38.0 %", "78.0 %", "10 min 20 s", "1.5 KiB")


def test_missing_counts_are_dashes(make_manifest):
    (row,) = stage_rows([make_manifest("tokens/news", {}, seconds=0.5, num_bytes=0)])
    assert row.cells() == ("tokens/news", DASH, DASH, DASH, DASH, DASH, "0.5 s", "0 B")


def test_a_stage_without_pairs_has_no_nsp_accuracy(make_manifest):
    counts = {"held_out_mlm_accuracy": 0.4, "held_out_nsp_accuracy": 0.0, "held_out_nsp_loss": 0.0}
    (row,) = stage_rows([make_manifest("task_transfer", counts, kind="transfer")])
    assert (row.mlm_accuracy, row.nsp_accuracy) == (0.4, None)


def test_accuracy_of_a_data_stage_is_no_mlm_accuracy(make_manifest):
    (row,) = stage_rows([make_manifest("labelled/a", {"mlm_accuracy": 0.5})])
    assert row.mlm_accuracy is None


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"documents": 7, "seen": 9}, 7),
        ({"size": 8000, "documents": 7}, 8000),
        ({"num_train_examples": 12, "num_test_examples": 3}, 12),
        ({"train": {"examples": 90, "documents": 5}, "held_out": {"examples": 10}}, 100),
        ({"splits": {"train": {"records": 3}, "dev": {"records": 1}, "test": {"records": 1}}}, 5),
        ({"train": {"records": 4, "examples": 6}}, 6),
        ({"documents": "many"}, None),
        ({"documents": True}, None),
        ({}, None),
    ],
)
def test_rows_of_reads_every_rooms_counts(counts, expected):
    assert rows_of(counts) == expected


def test_score_rows_put_the_run_first_and_mark_the_best(fake_run):
    rows = score_rows([manifest for _, manifest in fake_run.outputs.values()])
    assert [(row.task, row.start, row.is_reference, row.is_best) for row in rows] == [
        ("sentiment", "task_transfer", False, True),
        ("sentiment", "pretrain", True, False),
        ("sentiment", "random", True, False),
        ("sentiment", "tfidf", True, False),
        ("entities", "task_transfer", False, False),
        ("entities", "random", True, True),
    ]
    assert rows[0].accuracy == 0.914
    assert rows[0].entity_f1 is None
    assert (rows[4].accuracy, rows[4].entity_f1) == (None, 0.861)
    assert (rows[0].main_name, rows[4].main_name) == ("macro F1", "entity F1")


def test_all_rows_that_tie_are_best(make_manifest, scores_of):
    manifests = [
        make_manifest("fine_tune/a", {"test": scores_of(0.8)}),
        make_manifest("fine_tune/a/tfidf", {"test": scores_of(0.8)}, kind="tfidf"),
    ]
    assert [row.is_best for row in score_rows(manifests)] == [True, True]


@pytest.mark.parametrize(
    ("stage", "kinds", "start"),
    [
        ("fine_tune/a", {"settings": {"random_weights": True}}, "random"),
        ("fine_tune/a", {"raw": {"start/config.json": "0"}}, "model"),
        ("fine_tune/a/from_pretrain", {"raw": {"hub/some/model": "latest"}}, "model"),
        (
            "fine_tune/a/from_random",
            {"settings": {"random_weights": True}, "raw": {"start/config.json": "0"}},
            "random",
        ),
        ("fine_tune/a/from_pretrain", {"parents": {"start": "pretrain"}}, "pretrain"),
        ("fine_tune/a/tfidf", {"kind": "tfidf"}, "tfidf"),
        ("fine_tune/a", {}, "random"),
    ],
)
def test_the_start_of_a_fine_tuned_model_is_read_from_its_inputs(stage, kinds, start, make_manifest, scores_of):
    parents = {role: make_manifest(parent, {}) for role, parent in kinds.get("parents", {}).items()}
    manifest = make_manifest(stage, {"test": scores_of(0.8)}, **(kinds | {"parents": parents}))
    assert score_rows([manifest])[0].start == start


def test_a_model_without_scores_is_a_row_of_dashes(make_manifest):
    (row,) = score_rows([make_manifest("fine_tune/a", {})])
    assert row.cells() == ("a", "random (this run)", *[DASH] * 9)
    assert row.is_best is False


def test_markdown_table_leaves_out_columns_of_dashes_and_escapes_bars(make_manifest):
    rows = stage_rows(
        [
            make_manifest("vocabulary", {"size": 8000}, seconds=11.2, num_bytes=2048),
            make_manifest("odd|name", {}, seconds=0.02, num_bytes=3),
        ]
    )
    assert markdown_table(rows) == (
        "| stage | rows | time | size |\n"
        "| :-- | --: | --: | --: |\n"
        "| vocabulary | 8,000 | 11 s | 2.0 KiB |\n"
        "| odd\\|name | – | 0.02 s | 3 B |\n"
    )


def test_markdown_table_of_scores(make_manifest, entity_scores_of):
    rows = score_rows(
        [
            make_manifest("fine_tune/people", {"test": entity_scores_of(0.9)}, settings={"random_weights": True}),
        ]
    )
    assert markdown_table(rows) == (
        "| task | starts from | macro F1 | entity F1 | precision | recall | test examples |\n"
        "| :-- | :-- | --: | --: | --: | --: | --: |\n"
        "| people | random (this run) | 87.0 % | 90.0 % ★ | 92.0 % | 88.0 % | 300 |\n"
    )


def test_answers_are_compared_by_their_f1(make_manifest):
    scores = [
        {"exact_match": 0.25, "f1": 0.5, "num_examples": 40},
        {"exact_match": 0.0, "f1": 0.125, "num_examples": 40},
    ]
    rows = score_rows(
        [
            make_manifest("fine_tune/asked", {"test": scores[0]}, settings={"random_weights": True}),
            make_manifest("fine_tune/asked/overlap", {"test": scores[1]}, kind="overlap"),
        ]
    )
    assert [(row.main_name, row.main_score, row.is_best) for row in rows] == [
        ("answer F1", 0.5, True), ("answer F1", 0.125, False),
    ]  # fmt: skip
    assert markdown_table(rows) == (
        "| task | starts from | answer F1 | exact match | test examples |\n"
        "| :-- | :-- | --: | --: | --: |\n"
        "| asked | random (this run) | 50.0 % ★ | 25.0 % | 40 |\n"
        "| asked | overlap | 12.5 % | 0.0 % | 40 |\n"
    )


def test_markdown_table_of_nothing_is_empty():
    assert markdown_table([]) == ""


@pytest.mark.parametrize(("num_right", "number"), [(900, 1000), (0, 10), (10, 10), (1, 3)])
def test_accuracy_margin_is_half_of_scipys_wilson_interval(num_right, number):
    interval = binomtest(num_right, number).proportion_ci(0.95, method="wilson")
    row = _score_row(num_right / number, number)
    assert row.accuracy_margin == pytest.approx((interval.high - interval.low) / 2, rel=1e-3)


def test_accuracy_margin_needs_accuracy_and_examples():
    assert _score_row(None, 10).accuracy_margin is None
    assert _score_row(0.5, 0).accuracy_margin is None


def _score_row(accuracy: float | None, num_test_examples: int) -> ScoreRow:
    return ScoreRow(
        task="a",
        start="random",
        is_reference=False,
        is_best=False,
        num_train_examples=None,
        num_test_examples=num_test_examples,
        accuracy=accuracy,
        macro_f1=None,
        mcc=None,
        entity_f1=None,
        precision=None,
        recall=None,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, DASH),
        (0.0, "0.00 s"),
        (0.042, "0.04 s"),
        (0.31, "0.31 s"),
        (9.9, "9.9 s"),
        (9.97, "10 s"),
        (59.6, "1 min 0 s"),
        (75, "1 min 15 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_duration_is_short(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(None, DASH), (0, "0 B"), (830, "830 B"), (1536, "1.5 KiB"), (200 << 20, "200 MiB"), (3 << 40, "3.0 TiB")],
)
def test_size_is_short(num_bytes, expected):
    assert size(num_bytes) == expected


def test_numbers_have_separators_and_units():
    assert (count(19484), count(None), percent(0.9167), percent(None)) == ("19,484", DASH, "91.7 %", DASH)
