"""The report in headless Chromium, where it is installed: what a reader's browser makes of it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

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
