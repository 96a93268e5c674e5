"""Questions about contexts as windows: what stands where, and answers to the character."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import FineTuneConfig, TaskConfig, TaskSource
from bert_core.config.tasks import AnswersConfig
from bert_core.examples.questions import answer_tokens, question_inputs, write_questions
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import read_shards
from bert_core.tokens.tokenizer import WordPieceTokenizer

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"甲乙丙丁戊己", "19", "##98", "play", "##ing"]
TOKENIZER = WordPieceTokenizer.from_vocabulary(ENTRIES, lowercase=True)


def test_a_long_context_becomes_windows_behind_the_whole_question():
    config = AnswersConfig(max_question_tokens=2, stride_tokens=2)
    found = question_inputs(TOKENIZER, ["甲乙丙", "丁"], ["甲乙 丙丁戊己", "甲"], 9, config)
    # The first question is cut to 2 tokens and leaves room for 4 of the context's 6, the second has all of its own.
    assert found.ids.tolist() == [2, 5, 6, 3, 5, 6, 7, 8, 3, 2, 5, 6, 3, 7, 8, 9, 10, 3, 2, 8, 3, 5, 3]
    assert found.offsets.tolist() == [0, 9, 18, 23]
    assert found.length_a.tolist() == [2, 2, 1]
    assert found.char_starts.tolist() == [-1, 0, 1, -1, 0, 1, 3, 4, -1, -1, 0, 1, -1, 3, 4, 5, 6, -1, -1, 0, -1, 0, -1]
    assert found.windows.rows.tolist() == [0, 0, 1]
    # Tokens 0 to 2 of the context have most room in the first window, 3 to 5 in the second.
    assert found.scored_starts.tolist() == [4, 5, 3]
    assert found.scored_ends.tolist() == [7, 8, 4]
    assert (found.num_cut, found.num_tokens, found.num_unknown) == (1, 11, 0)


def test_answers_find_their_tokens_and_are_widened_inside_a_piece():
    found = question_inputs(
        TOKENIZER, ["甲"] * 5, ["甲 1998乙", "甲 1998乙", "甲 1998乙", "甲乙", "甲 1998乙"], 32, AnswersConfig()
    )
    starts, ends = np.array([2, 4, 3, -1, 1]), np.array([6, 7, 4, -1, 2])
    first, last, misaligned = answer_tokens(found, starts, ends)
    assert first.tolist() == [1, 2, 1, -1, -1]  # the last is the space between two tokens
    assert last.tolist() == [2, 3, 1, -1, -1]
    assert misaligned.tolist() == [False, False, True, False, False]


TEXTS = st.text(st.sampled_from(list("甲乙丙丁戊己 ，")), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 59), st.integers(1, 12)), min_size=1, max_size=4), st.data())
def test_each_answer_stands_to_the_character_in_the_windows_that_hold_it(rows, data):
    config = AnswersConfig(max_question_tokens=6, stride_tokens=data.draw(st.integers(1, 11)))
    questions, contexts = [row[0] for row in rows], [row[1] for row in rows]
    starts = np.array([min(row[2], len(row[1]) - 1) for row in rows])
    ends = np.minimum(starts + [row[3] for row in rows], [len(context) for context in contexts])
    found = question_inputs(TOKENIZER, questions, contexts, 20, config)
    first, last, misaligned = answer_tokens(found, starts, ends)
    assert not misaligned.any()
    begins = [[] for _ in rows]
    for window, row in enumerate(found.windows.rows.tolist()):
        span = slice(int(found.offsets[window]), int(found.offsets[window + 1]))
        assert span.stop - span.start <= 20
        chars = found.char_starts[span], found.char_ends[span]
        begins[row] += chars[0][found.scored_starts[window] : found.scored_ends[window]].tolist()
        if first[row] >= 0 and found.windows.starts[window] <= first[row] and last[row] < found.windows.ends[window]:
            at = [int(found.in_window(tokens[found.windows.rows])[window]) for tokens in (first, last)]
            answer = contexts[row][chars[0][at[0]] : chars[1][at[1]]]
            assert answer == contexts[row][starts[row] : ends[row]].strip(" ")
    for row, context in enumerate(contexts):
        assert begins[row] == [place for place, letter in enumerate(context) if letter != " "]


def test_a_split_holds_the_answer_given_most_often_and_all_that_are_right(tmp_path):
    rows = {name: [] for name in RECORDS.names}
    contexts = ["甲乙丙丁戊己" * 3, "甲乙丙"]
    answers = [[(6, "甲乙"), (13, "乙丙"), (13, "乙丙")], []]
    for number, (context, given_ones) in enumerate(zip(contexts, answers, strict=True)):
        values = {
            "record_id": number + 1, "text": "丁戊", "text_pair": context, "key": f"q{number}", "file": "x", "line": 1,
            "answer_starts": [start for start, _ in given_ones], "answer_texts": [text for _, text in given_ones],
        }  # fmt: skip
        for name in rows:
            rows[name].append(values.get(name, [] if name.startswith("span") else None))
    task = TaskConfig(
        family="extractive_qa",
        sources=[TaskSource(path="x.json")],
        compare=[],
        fine_tune=FineTuneConfig(max_tokens=17, answers=AnswersConfig(max_question_tokens=2, stride_tokens=6)),
    )
    counts = write_questions(tmp_path, "train", pa.table(rows, schema=RECORDS), TOKENIZER, task)
    table = read_shards(tmp_path, "train")
    assert counts == {
        "records": 2, "examples": 3, "windowed": 1, "cut": 0, "unanswerable": 1, "misaligned_answers": 0,
        "lost_answers": 0, "unk_fraction": 0.0, "fill_fraction": round((17 + 17 + 8) / (3 * 17), 6),
    }  # fmt: skip
    # Windows of 12 context tokens, [0, 12) and [6, 18): the answer, tokens 13 and 14, stands in the second alone.
    assert table["answer_first"].to_pylist() == [0, 4 + 13 - 6, 0]
    assert table["answer_last"].to_pylist() == [0, 4 + 14 - 6, 0]
    assert table["answers"].to_pylist() == [["甲乙", "乙丙", "乙丙"]] * 2 + [[]]
    assert table["key"].to_pylist() == ["q0", "q0", "q1"]
    assert table["text_pair"].to_pylist() == [contexts[0], contexts[0], contexts[1]]
