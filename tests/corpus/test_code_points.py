"""Tables give what the regular expressions and unicodedata give."""

import re
import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_core.corpus.clean import normalise
from bert_core.corpus.code_points import membership, sets_in

ACTING_ON_EACH_OTHER = st.sampled_from(
    ["e\u0301", "\uff8a\uff9e", "\u1112\u1161\u11ab", "ΑΣ", "İ", "ﬁ", "①", "…", "한", "㍿"]
)
TEXTS = st.lists(st.text(max_size=4) | ACTING_ON_EACH_OTHER, max_size=6).map("".join)


def test_each_set_has_its_bit():
    table = membership("[０-９]", "[a-c]")
    assert [int(table[ord(character)]) for character in "0０bd"] == [0, 1, 2, 0]
    assert [sets_in(text, table) for text in ("", "x", "b９", "\ud800a")] == [0, 0, 3, 2]


@settings(deadline=None)  # the first text fills the table
@given(TEXTS)
@example("ﾊﾞ")
@example("\ud800Σ")
def test_the_normal_form_is_that_of_the_whole_text(text: str):
    assert normalise(text) == re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", _without_wide_marks(text)).lower())


def _without_wide_marks(text: str) -> str:
    return re.sub("[…\u3000\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+", " ", text)
