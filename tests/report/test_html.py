import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bert_core.report.collect import collect_run
from bert_core.report.html import (
    FOLD_AFTER_CHARACTERS,
    epochs_of,
    folded,
    points,
    render_report,
    verdict,
    visible,
    write_report,
)

VOID = {"meta", "link", "input", "br", "wbr", "img"}
SVG_ALONE = {"path", "use", "rect", "line", "circle", "polyline"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps tags, attributes and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.text).append(data)


@pytest.fixture(scope="module")
def page(report: str) -> Page:
    return Page(report)


def test_equal_runs_give_equal_bytes(fake_run, tmp_path):
    reports = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        reports.append(write_report(tmp_path / name, fake_run.collect()).read_bytes())
    assert reports[0] == reports[1]
    assert str(tmp_path).encode() not in reports[0]


def test_the_report_does_not_depend_on_the_hash_seed():
    program = (
        "from bert_core.report.collect import collect_run; from bert_core.report.html import render_report;"
        "from bert_core.store.manifest import Manifest; import hashlib; from pathlib import Path;"
        "made = {n: (Path('none'), Manifest(stage=n, fingerprint='0', spec={'kind': n}, files=[],"
        "counts={'documents': 1},"
        "versions={v: str(i) for v in ('a', 'b', 'c')})) for i, n in enumerate(('documents', 'tokens', 'examples'))};"
        "print(hashlib.sha256(render_report(collect_run('a', 'name: a', [], made, {})).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_tags_nest(page):
    assert page.open == []


def test_the_page_asks_nothing_of_the_network(page):
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "embed", "form", "base")
        for name in ("src", "href", "xlink:href", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(
        attributes["content"] for tag, attributes in page.tags if tag == "meta" and "http-equiv" in attributes
    )
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_the_policy_allows_the_pages_own_script_alone(page):
    assert len(page.scripts) == 1
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    policy = next(
        attributes["content"] for tag, attributes in page.tags if tag == "meta" and "http-equiv" in attributes
    )
    assert f"script-src 'sha256-{digest}'" in str(policy)


def test_hostile_text_is_shown_as_text(page):
    text = "".join(page.text)
    assert "<script>window.hostile = 1; console.error('hostile')</script><img src=x" in text
    assert all(attributes.get("src") != "x" for _, attributes in page.tags)
    assert "U+202E" in text
    assert "U+0000" in text


def test_no_character_that_reorders_text_reaches_the_page(report):
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00]", report)


def test_links_of_the_page_lead_somewhere(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag, attributes in page.tags:
        if tag == "a":
            assert str(attributes["href"]).removeprefix("#") in ids


def test_the_report_begins_with_the_scores(report):
    html = report
    assert html.index('id="results"') < html.index('id="stages"') < html.index('id="lineage"') < html.index('id="data"')
    assert "+2.7 points over the best reference (pretrain)" in html
    assert "−4.1 points against the best reference (random)" in html


def test_examples_carry_the_masks_of_every_epoch(page, collected):
    assert epochs_of(collected) == [0, 1, 2]
    shown = [attributes for tag, attributes in page.tags if tag == "i" and "data-e0" in attributes]
    assert {(a["data-e0"], a["data-k0"]) for a in shown} >= {("[MASK]", "mask"), ("店", "random"), ("<b>", "random")}


def test_a_run_that_has_nothing_yet_is_a_page(tmp_path):
    html = render_report(collect_run("empty", "name: empty", [], {}))
    assert Page(html).open == []
    assert 'id="results"' not in html


def test_a_fine_tuning_without_scores_is_a_page(make_manifest, tmp_path):
    outputs = {
        "fine_tune/a": (tmp_path, make_manifest("fine_tune/a", {})),
        "fine_tune/b/tfidf": (tmp_path, make_manifest("fine_tune/b/tfidf", {}, kind="tfidf")),
    }
    run = collect_run("half", "name: half", [], outputs)
    assert Page(render_report(run)).open == []
    assert [verdict(task) for task in run.tasks] == ["not scored", "not scored"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 好", "plain 好"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("a\u202eb", 'a<span class="code" title="right-to-left override">U+202E</span>b'),
        ("a\x07", 'a<span class="code" title="control character">U+0007</span>'),
        ("a\nb", 'a<span class="return">↵</span>\nb'),
        ("\U0001f642", "\U0001f642"),
    ],
)
def test_visible_shows_what_hides(text, expected):
    assert str(visible(text)) == expected


def test_a_short_text_is_shown_whole():
    assert folded("好") == "<bdi>好</bdi>"
    assert "<details" not in folded("好" * FOLD_AFTER_CHARACTERS)


def test_a_long_text_folds_and_a_very_long_one_is_cut():
    assert "9,760 more characters" in folded("好" * 10_000)
    assert folded("好" * 10_000).count("好") == 10_000
    assert "5,000 more characters" in folded("好" * 25_000)
    assert folded("好" * 25_000).count("好") == 20_000


@pytest.mark.parametrize(
    ("difference", "expected"), [(0.031, "+3.1"), (-0.004, "−0.4"), (0.0, "+0.0"), (-0.0001, "+0.0"), (None, "–")]
)
def test_points_have_a_sign(difference, expected):
    assert points(difference) == expected


def test_lone_surrogates_do_not_stop_the_report(tmp_path):
    run = collect_run("a", "name: \ud800", [], {})
    assert b"name: ?" in write_report(tmp_path, run).read_bytes()
