"""The report and the page of examples in headless Chromium, where it is installed: what a browser makes of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bert_core.examples.inspect import ExampleView, MaskedView
from bert_core.report.examples_page import inspected, render_examples
from bert_core.report.passages import Passage

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=2000",
    "--window-size=390,800",
]
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
DRIVER = """<script>
const list = document.querySelector("[data-filter=examples]");
const errors = document.querySelector("[data-filter=sentiment]");
const count = (root) => [...root.querySelectorAll("[data-item]")].filter((item) => !item.hidden).length;
const type = (root, text) => {
  const input = root.querySelector("input[type=search]");
  input.value = text; input.dispatchEvent(new Event("input"));
};
const choose = (root, key, value) => {
  const select = root.querySelector(`select[data-key=${key}]`);
  select.value = value; select.dispatchEvent(new Event("change"));
};
const seen = [];
const note = (name, value) => seen.push(`${name}=${value}`);
note("all", count(list));
type(list, "LAMP arrived"); note("lamp", count(list)); note("shown", list.querySelector("[data-shown]").textContent);
type(list, "cracked shade"); note("pieces_joined", count(list));
type(list, "no such text"); note("none", count(list)); note("empty_told", !list.querySelector("[data-empty]").hidden);
type(list, ""); choose(list, "label", "random"); note("random", count(list));
choose(list, "stage", "examples/pretrain"); note("both", count(list));
choose(list, "label", ""); note("pretrain", count(list)); choose(list, "stage", "");
const token = [...list.querySelectorAll("i")].find((i) => i.dataset.e0 === "river");
const above = () => getComputedStyle(token, "::before").content;
note("epoch0", above());
list.querySelector("button[data-epoch='1']").click();
note("epoch1", above()); note("pressed", list.querySelector("button[aria-pressed=true]").textContent);
choose(errors, "gold", "negative"); note("gold", count(errors));
type(errors, "<script>window.hostile"); note("hostile_found", count(errors));
note("hostile_ran", String(window.hostile)); note("images", document.images.length);
note("overflow", document.documentElement.scrollWidth - document.documentElement.clientWidth);
choose(errors, "gold", ""); type(errors, "");
const before = document.querySelector(".fold"); before.open = true;
note("unfolded", before.querySelector("summary ~ bdi").getClientRects().length > 0);
document.body.dataset.seen = seen.join(";");
</script>"""


def _open(folder: Path, text: str) -> tuple[str, list[str]]:
    """Return the page after its script has run, and what went to the console."""
    assert CHROMIUM is not None
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.decode(errors="replace").splitlines() if ":CONSOLE" in line]
    return done.stdout.decode(errors="replace"), console


def test_the_page_opens_without_a_word_on_the_console(report, tmp_path):
    dom, console = _open(tmp_path, report)
    assert console == []
    assert "shop_reviews" in dom


def test_filters_and_epochs_work_and_hostile_text_does_not_run(report, tmp_path):
    dom, console = _open(tmp_path, POLICY.sub("", report).replace("</body>", DRIVER + "</body>"))
    assert console == []
    found = re.search(r'data-seen="([^"]*)"', dom)
    assert found is not None
    seen = dict(part.split("=", 1) for part in found.group(1).replace("&quot;", '"').split(";"))
    assert seen == {
        "all": "5",
        "lamp": "1",
        "shown": "1",
        "pieces_joined": "1",
        "none": "0",
        "empty_told": "true",
        "random": "2",
        "both": "0",
        "pretrain": "1",
        "epoch0": '"river"',
        "epoch1": "none",
        "pressed": "epoch 1",
        "gold": "5",
        "hostile_found": "1",
        "hostile_ran": "undefined",
        "images": "0",
        "overflow": "0",
        "unfolded": "true",
    }


def test_the_policy_stops_a_script_that_slipped_through(report, tmp_path):
    dom, console = _open(tmp_path, report.replace("</body>", "<script>document.title = 'owned'</script></body>"))
    assert "<title>owned" not in dom
    assert any("Content Security Policy" in line for line in console)


INSPECT_DRIVER = """<script>
const seen = [];
const note = (name, value) => seen.push(`${name}=${value}`);
const shown = (query) => [...document.querySelectorAll(query)].filter((one) => one.getClientRects().length > 0);
const text = (query) => shown(query).map((one) => one.textContent.replace(/[\u200b\\s]+/g, " ").trim()).join("|");
const input = document.querySelector("input[type=search]");
const type = (value) => { input.value = value; input.dispatchEvent(new Event("input")); };
const select = document.querySelector("select[data-key=label]");
const choose = (value) => { select.value = value; select.dispatchEvent(new Event("change")); };
note("examples", shown("[data-item]").length);
note("words", text("[data-item]:first-of-type .words > span"));
note("entity", text(".words i.entity"));
note("origin", text(".origin"));
note("masks", text(".masks .caption"));
note("masked", text("[data-policy=token][data-of='0'] i.mask"));
note("was_is", text("[data-policy=token][data-of='0'] i.random"));
document.querySelector("#policy-1").click();
note("one_policy", text(".masks .caption"));
document.querySelector("#epoch-1").click();
note("one_epoch", text(".masks .caption"));
document.querySelector("#policy-1").click(); document.querySelector("#epoch-1").click();
type("harbour"); note("found", text("[data-shown]"));
type("no such text"); note("none", shown("[data-item]").length); note("told", shown("[data-empty]").length);
type(""); choose("random"); note("random", text("[data-item] .card-head b"));
choose("");
note("ran", String(window.hostile)); note("images", document.images.length);
note("overflow", document.documentElement.scrollWidth - document.documentElement.clientWidth);
document.body.dataset.seen = seen.join(";");
</script>"""


def _inspect_page() -> str:
    """Two examples under two policies in two epochs, one of them with hostile text."""

    def example(row: int, label: int, tokens: list[str], words: list[tuple[int, int]]) -> ExampleView:
        hidden = [token if position != 2 else "[MASK]" for position, token in enumerate(tokens)]
        other = [token if position != 4 else "lamp" for position, token in enumerate(hidden)]
        changes = ["mask" if position == 2 else "" for position in range(len(tokens))]
        more = ["random" if position == 4 else change for position, change in enumerate(changes)]
        return ExampleView(
            row=row,
            example_id=row,
            tokens=tokens,
            words=words,
            entities=[(1, 3)] if row == 0 else [],
            length_a=2,
            next_sentence_label=label,
            doc_id_a=1,
            token_a=0,
            doc_id_b=1 if label == 0 else 2,
            token_b=2,
            round=0,
            masks=[
                MaskedView("token", 0, other, more),
                MaskedView("token", 1, hidden, changes),
                MaskedView("span", 0, hidden, changes),
                MaskedView("span", 1, hidden, changes),
            ],
        )

    first = example(
        0, 0, ["[CLS]", "北", "京", "[SEP]", "harbour", "##s", "[SEP]"], [(0, 1), (1, 3), (3, 4), (4, 6), (6, 7)]
    )
    evil = "<img src=x onerror='window.hostile=1'>"
    second = example(1, 1, ["[CLS]", evil, "b", "[SEP]", "c" * 300, "[SEP]"], [(n, n + 1) for n in range(6)])
    passage = Passage(
        place="news.txt:12",
        doc_id=1,
        first_token=0,
        paragraph=2,
        first_character=4,
        stop_character=6,
        text="<script>window.hostile=1</script>",
    )
    return render_examples("demo", "two rows", [inspected(first, {(0, "A"): passage}), inspected(second, {})])


def test_the_page_of_examples_shows_words_masks_and_places_and_its_choices_work(tmp_path):
    page = _inspect_page()
    dom, console = _open(tmp_path, page)
    assert console == []
    assert "news.txt:12" in dom
    (tmp_path / "driven").mkdir()
    dom, console = _open(tmp_path / "driven", POLICY.sub("", page).replace("</body>", INSPECT_DRIVER + "</body>"))
    assert console == []
    found = re.search(r'data-seen="([^"]*)"', dom)
    assert found is not None
    seen = dict(part.split("=", 1) for part in found.group(1).split(";"))
    captions = [f"{policy}, epoch {epoch}: {n} to predict" for policy, epoch, n in MASKS]
    assert seen == {
        "examples": "2",
        "words": "[CLS]|北京|[SEP]|harbours|[SEP]",
        "entity": "北|京",
        "origin": "news.txt:12, paragraph 2, characters 4 to 6, document 0000000000000001, token 0",
        "masks": "|".join(captions * 2),
        "masked": "京|b",
        "was_is": f"harbour→lamp|{'c' * 300}→lamp",
        "one_policy": "|".join(captions[:2] * 2),
        "one_epoch": "|".join(captions[:1] * 2),
        "found": "1",
        "none": "0",
        "told": "1",
        "random": "example 1",
        "ran": "undefined",
        "images": "0",
        "overflow": "0",
    }


MASKS = [("token", 0, 2), ("token", 1, 1), ("span", 0, 1), ("span", 1, 1)]
