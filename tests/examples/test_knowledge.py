"""Sentence trees: the example of the K-BERT paper worked by hand, mentions, room, and faults of files."""

import numpy as np
import pytest

from bert_core.errors import RequestError
from bert_core.examples.knowledge import Knowledge, Trees, read_triples, visible_pairs
from bert_core.examples.text_pairs import pair_inputs
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES

WORDS = ["tim", "cook", "is", "visiting", "beijing", "now", "ceo", "apple", "capital", "china", "city", "art", "sm"]
ENTRIES = [*SPECIAL_ENTRIES, *WORDS, "##art", "a", *"他在北京大学的首都中国"]
TOKENIZER = WordPieceTokenizer.from_vocabulary(list(dict.fromkeys(ENTRIES)), lowercase=True)
PAPER = "Tim Cook\tCEO\tApple\nBeijing\tcapital\tChina\nBeijing\tis a\tCity\nBeijing\tis\tnow\n"


def knowledge(tmp_path, text: str, max_triples: int = 2) -> Knowledge:
    (tmp_path / "triples.tsv").write_text(text, encoding="utf-8")
    return Knowledge(tmp_path / "triples.tsv", TOKENIZER, max_triples)


def trees_of(known: Knowledge, *texts: str, max_tokens: int = 64) -> tuple[Trees, list[int]]:
    """Trees of whole texts, and the tokens of each trunk."""
    found = TOKENIZER.encode(list(texts))
    sizes = np.diff(found.row_offsets)
    char_starts, char_ends = ([], [])
    for row in range(len(texts)):
        tokens = slice(found.row_offsets[row], found.row_offsets[row + 1])
        char_starts += [-1, *found.char_starts[tokens], -1]
        char_ends += [-1, *found.char_ends[tokens], -1]
    offsets = np.concatenate([[0], np.cumsum(sizes + 2)])
    columns = (offsets, np.array(char_starts), np.array(char_ends), sizes)
    return known.trees(*columns, texts, None, max_tokens), (sizes + 2).tolist()


def test_the_sentence_of_the_paper(tmp_path):
    trees, (size,) = trees_of(knowledge(tmp_path, PAPER), "Tim Cook is visiting Beijing now")
    words = [TOKENIZER.entries[token] for token in trees.ids]
    assert words == ["ceo", "apple", "capital", "china", "is", "a", "city"]
    # The trunk is [CLS] 0, Tim 1, Cook 2, is 3, visiting 4, Beijing 5, now 6, [SEP] 7; the paper's soft positions of
    # the branches: CEO 3, Apple 4 behind Cook; capital 6, China 7, and is_a 6, City 7 behind Beijing (`is a` are two
    # tokens here).
    assert trees.positions.tolist() == [3, 4, 6, 7, 6, 7, 8]
    assert trees.branches.tolist() == [1, 1, 2, 2, 3, 3, 3]
    assert trees.entity_firsts.tolist() == [1, 1, 5, 5, 5, 5, 5]
    assert trees.entity_ends.tolist() == [3, 3, 6, 6, 6, 6, 6]
    assert (trees.num_entities, trees.num_triples, trees.num_left_out) == (2, 3, 0)
    whole = np.concatenate([np.zeros(size, np.int64), trees.branches])[None]
    entities = (trees.entity_firsts, trees.entity_ends)
    firsts, ends = (np.concatenate([np.zeros(size, np.int64), part])[None] for part in entities)
    names = ["[CLS]", "Tim", "Cook", "is", "visiting", "Beijing", "now", "[SEP]", *words]
    seen = {
        name: [other for other, sees in zip(names, row, strict=True) if sees]
        for name, row in zip(names, visible_pairs(whole, firsts, ends)[0], strict=True)
        if name not in ("is", "a")
    }
    trunk = ["[CLS]", "Tim", "Cook", "is", "visiting", "Beijing", "now", "[SEP]"]
    assert seen == {
        "[CLS]": trunk,
        "Tim": [*trunk, "ceo", "apple"],
        "Cook": [*trunk, "ceo", "apple"],
        "visiting": trunk,
        "Beijing": [*trunk, "capital", "china", "is", "a", "city"],
        "now": trunk,
        "[SEP]": trunk,
        "ceo": ["Tim", "Cook", "ceo", "apple"],
        "apple": ["Tim", "Cook", "ceo", "apple"],
        "capital": ["Beijing", "capital", "china"],
        "china": ["Beijing", "capital", "china"],
        "city": ["Beijing", "is", "a", "city"],
    }


def test_padding_sees_padding_alone():
    branches = np.array([[0, 0, 1, -1]])
    visible = visible_pairs(branches, np.array([[0, 0, 1, 0]]), np.array([[0, 0, 2, 0]]))[0]
    assert visible.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


def test_the_longest_mention_counts_and_no_part_of_a_word(tmp_path):
    known = knowledge(tmp_path, "北京\t首都\t中国\n北京大学\t在\t北京\nart\tis\tnow\n")
    assert known.find("他在北京大学, 北京") == [(1, 2, 6), (0, 8, 10)]
    assert known.find("smart art") == [(2, 6, 9)]
    trees, _ = trees_of(known, "smart", "他在", "北京 art")
    assert trees.lengths.tolist() == [0, 0, 6]
    assert [TOKENIZER.entries[token] for token in trees.ids] == [*"首都中国", "is", "now"]


def test_what_does_not_fit_is_left_out_and_the_trunk_stays(tmp_path):
    known = knowledge(tmp_path, PAPER)
    text = "Tim Cook is visiting Beijing now"
    trees, (size,) = trees_of(known, text, max_tokens=12)
    assert size + trees.lengths[0] == 12
    assert [TOKENIZER.entries[token] for token in trees.ids] == ["ceo", "apple", "capital", "china"]
    assert (trees.num_triples, trees.num_left_out) == (2, 1)
    trees, _ = trees_of(known, text, max_tokens=size)
    assert trees.lengths.tolist() == [0]


def test_both_texts_of_a_pair_have_triples(tmp_path):
    known = knowledge(tmp_path, PAPER, max_triples=1)
    first, second = ["Beijing now"], ["now Tim Cook"]
    inputs = pair_inputs(TOKENIZER, first, second, 32)
    trees = known.trees(
        inputs.offsets, inputs.char_starts, inputs.char_ends, inputs.length_a, first, second, max_tokens=32
    )
    # [CLS] beijing now [SEP] now tim cook [SEP]
    assert [TOKENIZER.entries[token] for token in trees.ids] == ["capital", "china", "ceo", "apple"]
    assert trees.positions.tolist() == [2, 3, 7, 8]
    assert trees.entity_firsts.tolist() == [1, 1, 5, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\n", r"triples\.tsv:1: 'a\\tb', expected subject, predicate and object"),
        (b"a\tb\tc\n\na\t\tc\n", r"triples\.tsv:3: "),
        (b"\n", r"triples\.tsv: no triple"),
        (b"a\tb\tc\nd\te\t\xff\n", r"triples\.tsv:2: not UTF-8"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, content, message):
    (tmp_path / "triples.tsv").write_bytes(content)
    with pytest.raises(RequestError, match=message):
        read_triples(tmp_path / "triples.tsv")
    with pytest.raises(RequestError, match=r"none\.tsv: no such file of triples"):
        read_triples(tmp_path / "none.tsv")
