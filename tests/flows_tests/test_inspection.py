"""`bertline inspect` over a built line: the batch of a step, policies side by side, the page, passages in raw text."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bert_core.errors import RequestError
from bert_core.examples.reader import ExampleSet
from bert_core.stages.build import run_stage, transfer_job
from bert_core.stages.line import Line, LineRequest, open_line
from flows.inspection import Look, print_stage
from tasks.samples import sample_of, standing_outputs, step_sample

DATA_KINDS = ("split", "slices", "documents", "vocabulary", "tokens", "examples")


@pytest.fixture(scope="module")
def line(shared_tiny_recipe: Path) -> Line:
    line = open_line(LineRequest(recipe=str(shared_tiny_recipe), overrides=("pretrain.examples.pairing_rounds=2",)))
    for stage in line.stages.values():
        if stage.kind in DATA_KINDS:
            run_stage(line, stage.id)
    return line


def shown(line: Line, stage: str, look: Look) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_stage(line.request.recipe, stage, look, overrides=line.request.overrides, console=console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_step_shows_the_rows_and_masks_that_the_training_loop_draws(line: Line, tmp_path: Path) -> None:
    """The loop itself runs the same job; what it fed the model at each step is compared token by token."""
    from bert_core.tokens.tokenizer import WordPieceTokenizer
    from bert_core.training.job import TransferJob
    from bert_core.training.loop import _Training

    entries = WordPieceTokenizer.from_folder(line.outputs_of("vocabulary")[0].folder).entries
    folders = {name: str(tmp_path) for name in ("output_folder", "resume_folder", "runs_folder")}
    training = _Training(TransferJob.from_dict(transfer_job(line, line.stage("pretrain")) | folders))
    for step in range(1, training.config.steps + 1):
        batch, found = training._draw(step - 1), step_sample(line, "pretrain", step)
        assert [view.example_id for view in found.views] == batch.example_ids.tolist()
        (tensors,) = batch.parts
        for view, ids, length in zip(
            found.views, tensors.input_ids_BS.tolist(), tensors.lengths_B.tolist(), strict=True
        ):
            [masked] = view.masks
            assert masked.tokens == [entries[index] for index in ids[:length]]
        width = tensors.input_ids_BS.shape[1]
        hidden = [
            row * width + place
            for row, view in enumerate(found.views)
            for place, change in enumerate(view.masks[0].changes)
            if change
        ]
        assert hidden == tensors.target_positions_N.tolist()


def test_a_training_is_told_its_own_stage_so_that_two_stages_have_two_orders(line: Line) -> None:
    assert transfer_job(line, line.stage("pretrain"))["stage"] == "pretrain"


def test_a_step_of_another_round_is_of_its_epoch(line: Line) -> None:
    rounds = ExampleSet.open(line.outputs_of("examples/pretrain")[0].folder, "train")
    per_epoch = -(-len(rounds.rows_of_round(0)) // 4)
    later = open_line(
        LineRequest(recipe=line.request.recipe, overrides=(*line.request.overrides, "pretrain.steps=100"))
    )
    found = step_sample(later, "pretrain", per_epoch + 1)
    assert (found.epoch, {view.round for view in found.views}) == (1, {1})
    assert {masked.epoch for view in found.views for masked in view.masks} == {1}


def test_steps_of_both_phases_are_shown_with_their_examples(line: Line) -> None:
    long_phase = "pretrain.long_phase={max_tokens: 60, step_share: 0.5}"
    two = open_line(LineRequest(recipe=line.request.recipe, overrides=(*line.request.overrides, long_phase)))
    run_stage(two, "examples/pretrain/long")
    for step, stage in ((2, "examples/pretrain"), (3, "examples/pretrain/long")):
        found = step_sample(two, "pretrain", step)
        assert (found.examples_stage, found.epoch) == (stage, 0)
        train = ExampleSet.open(two.outputs_of(stage)[0].folder, "train")
        ids = set(train.take(np.arange(train.num_examples)).example_ids.tolist())
        assert {view.example_id for view in found.views} <= ids
    assert sample_of(two, "examples/pretrain/long", name="train", first_row=0, num_rows=1, epochs=(0,))


def test_the_terminal_shows_the_whole_batch_and_refuses_what_would_alter_it(line: Line) -> None:
    text = shown(line, "pretrain", Look(step=2))
    assert text.startswith("Step 2 of 4 of pretrain: 4 examples, epoch 0.\n")
    assert len(re.findall("^example ", text, re.M)) == 4
    for look in (Look(step=2, epochs=(0,)), Look(step=2, policies=("span",)), Look(step=2, held_out=True)):
        with pytest.raises(RequestError, match="leave out --"):
            shown(line, "pretrain", look)
    with pytest.raises(RequestError, match="step 5 is not among the 4 steps"):
        shown(line, "pretrain", Look(step=5))


def test_policies_and_epochs_stand_side_by_side(line: Line) -> None:
    text = shown(line, "examples/pretrain", Look(num_rows=1, epochs=(0, 3), policies=("token", "span")))
    assert re.findall(r"^  (token|span) (\d)", text, re.M) == [
        ("token", "0"),
        ("token", "3"),
        ("span", "0"),
        ("span", "3"),
    ]


def test_passages_are_the_raw_text_of_both_sides(line: Line, shared_tiny_recipe: Path) -> None:
    from bert_core.report.passages import passages_of
    from bert_core.tokens.tokenizer import WordPieceTokenizer

    views = sample_of(line, "examples/pretrain", num_rows=20)
    found = passages_of(standing_outputs(line), "examples/pretrain", views)
    assert {side for _, side in found} == {"A", "B"}
    tokenizer = WordPieceTokenizer.from_folder(line.outputs_of("vocabulary")[0].folder)
    raw = (shared_tiny_recipe.parent / "general.txt").read_text(encoding="utf-8").split("\n")
    for view in views:
        for side, tokens in (("A", view.tokens[1 : 1 + view.length_a]), ("B", view.tokens[view.length_a + 2 : -1])):
            if (view.row, side) not in found:
                continue
            passage = found[view.row, side]
            assert [tokenizer.entries[index] for index in tokenizer.encode([passage.text]).ids] == tokens
            place, _, line_number = passage.place.rpartition(":")
            assert place.endswith("general.txt")
            at = int(line_number) - 1 + passage.paragraph - 1  # here a paragraph is a line
            assert "\n".join(raw[at : at + 6]).startswith(passage.text)


def test_the_page_is_one_file_that_asks_nothing_of_the_network(line: Line, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    look = Look(num_rows=5, policies=("whole_word", "span"), page=path)
    assert shown(line, "examples/pretrain", look) == f"Wrote {path}: 5 examples\n"
    text = path.read_text(encoding="utf-8")
    assert text.count("<article ") == 5
    assert len(re.findall(r'<div data-policy="(?:whole_word|span)" data-of="[01]">', text)) == 5 * 4
    assert not re.search(r"(?:src|href|action)=\"(?!data:)|https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    shown(line, "examples/pretrain", look)
    assert path.read_text(encoding="utf-8") == text
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(RequestError, match="no page of bertline"):
        shown(line, "examples/pretrain", look)
    assert path.read_text(encoding="utf-8") == "mine"
    with pytest.raises(RequestError, match="does not exist; make it first"):
        shown(line, "examples/pretrain", Look(page=tmp_path / "no" / "page.html"))


def test_hostile_text_stays_text_on_the_page() -> None:
    from bert_core.examples.inspect import ExampleView, MaskedView
    from bert_core.report.examples_page import inspected, render_examples
    from bert_core.report.passages import Passage

    tokens = ["[CLS]", "<script>", '"><img', "\u202e", "[SEP]"]
    view = ExampleView(
        row=0,
        example_id=1,
        tokens=tokens,
        words=[(0, 1), (1, 3), (3, 4), (4, 5)],
        entities=[(1, 2)],
        length_a=3,
        next_sentence_label=-100,
        doc_id_a=1,
        token_a=0,
        doc_id_b=1,
        token_b=-1,
        round=0,
        masks=[MaskedView("token", 0, ["[CLS]", "<b>", '"><img', "\u202e", "[SEP]"], ["", "random", "kept", "", ""])],
    )
    passage = Passage(
        place="<i>.txt:1",
        doc_id=1,
        first_token=0,
        paragraph=1,
        first_character=0,
        stop_character=9,
        text="<script>alert(1)</script>",
    )
    page = render_examples("<u>", "</style>", [inspected(view, {(0, "A"): passage})])
    body = page[page.index("<body>") :]
    for text in ("<script>alert", "<img", "<i>.txt", "<u>", "</style>", "\u202e"):
        assert text not in body
    assert "&lt;script&gt;</s>→<b>&lt;b&gt;</b>" in body
    assert "U+202E" in body
    assert '<i class="entity">&lt;script&gt;</i>' in body
    assert len(re.findall("<script", body)) == 1
