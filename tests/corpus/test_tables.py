"""Rows of CSV and TSV: quoting, and faults that stay in their row."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.decode import Line
from bert_core.corpus.tables import read_rows


def rows_of(text: str, delimiter: str = ",") -> list[list[str] | str]:
    lines = iter(Line(number, 0, line, "utf-8", None) for number, line in enumerate(text.split("\n"), start=1))
    return [row.fields if row.fault is None else row.fault.partition(":")[0] for row in read_rows(lines, delimiter)]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('text,label\n"好,很好",1\n坏', [["text", "label"], ["好,很好", "1"], "ragged"]),
        ('a,b\n"他说""好""",2\n', [["a", "b"], ['他说"好"', "2"]]),
        ('a,b\n"一\n二",2\n三,4', [["a", "b"], ["一\n二", "2"], ["三", "4"]]),
        ('a,b\n5" 屏幕,1\n', [["a", "b"], ['5" 屏幕', "1"]]),
        (
            'a,b\n1,"没有结束\n2,好\n3,"也好"\n4,再见',
            [["a", "b"], "unclosed_quote", ["2", "好"], ["3", "也好"], ["4", "再见"]],
        ),
        ('a,b\n1,"没有结束\n2,好', [["a", "b"], "unclosed_quote", ["2", "好"]]),
        ('"a","b"\n"",\n', [["a", "b"], ["", ""]]),
        ("a,b\n\n  \n1,2", [["a", "b"], ["1", "2"]]),
        ('a,b\n"x"y,1\n1,2', [["a", "b"], "unclosed_quote", ["1", "2"]]),
    ],
)
def test_csv_rows_follow_rfc_4180_and_faults_stay_in_their_row(text: str, rows: list):
    assert rows_of(text) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a\tb\n他说"好"\t1\n"好"的评论\t0', [["a", "b"], ['他说"好"', "1"], ['"好"的评论', "0"]]),
        ('a\tb\n"左\t右"\t1', [["a", "b"], ["左\t右", "1"]]),
        ('a\tb\n"一\n二"\t1', [["a", "b"], ["一\n二", "1"]]),
        ('a\tb\n"只有一个引号\t1\n好\t2', [["a", "b"], ['"只有一个引号', "1"], ["好", "2"]]),
    ],
)
def test_tsv_rows_with_the_right_number_of_tabs_stand_as_they_are(text: str, rows: list):
    assert rows_of(text, "\t") == rows


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('甲乙 ,"\n;'), max_size=8), min_size=3, max_size=3), min_size=1, max_size=8
    ),
)
def test_what_the_standard_library_writes_is_read_back(rows: list[list[str]]):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["x", "y", "z"], *rows])
    assert rows_of(out.getvalue()) == [["x", "y", "z"], *rows]
