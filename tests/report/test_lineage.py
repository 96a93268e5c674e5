import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.report.lineage import BOX_GAP, Node, direct_parents, draw_lineage, layers_of

_NAMES = [f"stage/{number}" for number in range(12)]


@st.composite
def graphs(draw) -> list[Node]:
    number = draw(st.integers(1, 12))
    return [
        _node(name, draw(st.lists(st.sampled_from(_NAMES[:index]), unique=True, max_size=4)) if index else [])
        for index, name in enumerate(_NAMES[:number])
    ]


def _node(name: str, parents: list[str], note: str = "1 row") -> Node:
    return Node(id=name, kind="tokens", action="run", note=note, parents=tuple(parents))


def test_an_arrow_that_follows_from_others_is_left_out():
    assert direct_parents({"a": [], "b": ["a"], "c": ["a", "b"]}) == {"a": [], "b": ["a"], "c": ["b"]}


def test_parents_that_are_not_drawn_and_repeats_are_passed_over():
    assert direct_parents({"b": ["a", "a"], "a": ["gone"]}) == {"b": ["a"], "a": []}


def test_a_stage_sinks_to_just_above_what_it_feeds():
    parents = {"a": [], "b": ["a"], "c": ["b"], "x": [], "d": ["c", "x"]}
    assert layers_of(parents) == {"a": 0, "b": 1, "c": 2, "x": 2, "d": 3}


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_stage_lies_below_its_parents(nodes):
    parents = {node.id: list(node.parents) for node in nodes}
    layers = layers_of(parents)
    assert min(layers.values()) >= 0
    assert all(layers[parent] < layers[child] for child, found in parents.items() for parent in found)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_boxes_neither_overlap_nor_leave_the_picture(nodes):
    svg = draw_lineage(nodes)
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    boxes = [tuple(map(float, found)) for found in re.findall(r'<rect x="(-?[\d.]+)" y="([\d.]+)" width="(\d+)"', svg)]
    assert len(boxes) == len(nodes)
    assert all(x >= 0 and x + w <= width + 1 and y < height for x, y, w in boxes)
    for x, y, w in boxes:
        for other_x, other_y, _ in boxes:
            if y == other_y and other_x > x:
                assert other_x >= x + w + BOX_GAP - 0.2


@given(graphs())
@settings(max_examples=20, deadline=None)
def test_the_drawing_is_the_same_every_time(nodes):
    assert draw_lineage(nodes) == draw_lineage(nodes)


def test_every_direct_parent_has_an_arrow():
    nodes = [_node("a", []), _node("b", ["a"]), _node("c", ["a", "b"])]
    assert draw_lineage(nodes).count('class="arrow"') == 2


def test_hostile_names_are_escaped():
    svg = draw_lineage([_node('"><script>', [], note="<b>&")])
    assert "<script>" not in svg
    assert "&lt;b&gt;&amp;" in svg


def test_no_stage_gives_no_picture():
    assert draw_lineage([]) == ""


def test_a_long_chain_is_drawn_without_deep_recursion_failing():
    names = [f"s{number}" for number in range(300)]
    nodes = [_node(name, [names[index - 1]] if index else []) for index, name in enumerate(names)]
    assert draw_lineage(nodes).count("<rect") == 300


@pytest.mark.parametrize("number", [1, 40])
def test_many_children_stand_side_by_side(number):
    nodes = [_node("root", []), *(_node(f"child{index:02d}", ["root"]) for index in range(number))]
    assert draw_lineage(nodes).count('class="arrow"') == number
