"""JSON is read strictly, and every fault says what it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.json_lines import parse_object


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"text": NaN}', "invalid_json: NaN is not JSON"),
        ('{"text": -Infinity}', "invalid_json: -Infinity is not JSON"),
        ('{"text": "a", "text": "b"}', "invalid_json: key 'text' comes twice"),
        ('{"text": "a"', "is the file or the line cut off?"),
        ('{"text": "a', "is the file or the line cut off?"),
        ("{'text': 1}", "invalid_json: Expecting property name"),
        ('{"text": "a"} {"text": "b"}', "invalid_json: Extra data at column 15"),
        ('["a"]', "not_an_object: the line is a list"),
        ("3", "not_an_object: the line is a number"),
        ("null", "not_an_object: the line is null"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "invalid_json: Exceeds the limit"),
    ],
)
def test_faults_of_a_line_are_named(text: str, fault: str):
    value, found = parse_object(text)
    assert value is None
    assert fault in found


def test_line_separators_and_pairs_of_surrogates_stand_in_strings():
    assert parse_object('{"text": "一\u2028二\x85"}') == ({"text": "一\u2028二\x85"}, "")
    assert parse_object(r'{"text": "\ud83d\ude00"}') == ({"text": "😀"}, "")
    assert parse_object(r'{"text": "\ud83d"}') == ({"text": "\ud83d"}, "")


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()))))
def test_every_object_comes_back(value: dict):
    assert parse_object(json.dumps(value)) == (value, "")
