"""A whole run as it lies on disk, small and made up: manifests, metrics, predictions, example views."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bert_core.examples.inspect import ExampleView, MaskedView
from bert_core.report.collect import collect_run
from bert_core.report.html import render_report
from bert_core.report.view import RunView
from bert_core.store.fingerprint import fingerprint_of
from bert_core.store.manifest import FileEntry, Manifest, Parent, list_files

HOSTILE = "<script>window.hostile = 1; console.error('hostile')</script><img src=x onerror=\"window.hostile = 1\">"
OVERRIDE = "退货\u202eevil\u202c 之后\x00就没有下文\u200b了"
LONG = "这一条评价写得很长。" * 1000

RECIPE = """# A made-up recipe.
name: shop_reviews
seed: 7
corpora:
  news: {paths: [texts/news.txt]}
  reviews: {paths: [texts/reviews.jsonl], format: jsonl}
pretrain: {corpus: news, steps: 2000}
domain_transfer: {corpus: reviews, steps: 800}
task_transfer: {tasks: [sentiment], steps: 300}
tasks:
  sentiment:
    family: single_sentence
    labels: [negative, 正面]
    sources: [{path: texts/labelled.tsv}]
"""


@dataclass(frozen=True)
class FakeRun:
    """What `collect_run` takes."""

    decisions: list[dict[str, Any]]
    outputs: dict[str, tuple[Path, Manifest]]
    examples: dict[str, list[ExampleView]]

    def collect(self) -> RunView:
        return collect_run("shop_reviews", RECIPE, self.decisions, self.outputs, self.examples)


def _make_manifest(stage: str, counts: dict[str, Any], **kinds: Any) -> Manifest:
    """A manifest with `kind`, `parents` (manifests by role), `seconds`, `settings`, `raw`, `num_bytes`, `folder`."""
    parents = kinds.get("parents", {})
    spec = {
        "kind": kinds.get("kind", stage.split("/")[0]),
        "stage": stage,
        "settings": kinds.get("settings", {}),
        "raw": kinds.get("raw", {}),
    }
    return Manifest(
        stage=stage,
        fingerprint=fingerprint_of(spec),
        spec=spec,
        files=[
            FileEntry(name="rows-00000-of-00001.arrow", num_bytes=kinds.get("num_bytes", 48_213), sha256="0" * 64),
            *(list_files(kinds["folder"]) if "folder" in kinds else []),
        ],
        counts=counts,
        parents={
            role: Parent(stage=parent.stage, fingerprint=parent.fingerprint, content=parent.content)
            for role, parent in parents.items()
        },
        seconds=kinds.get("seconds", 1.0),
        versions={"bertline": "0.1.0", "numpy": "2.1.0", "torch": "2.13.0"},
    )


def _scores_of(accuracy: float, confusion: list[list[int]] | None = None) -> dict[str, Any]:
    scores: dict[str, Any] = {
        "num_examples": 1000,
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.004,
        "mcc": 2 * accuracy - 1.006,
        "by_label": {
            "negative": {
                "precision": accuracy - 0.02,
                "recall": accuracy + 0.01,
                "f1": accuracy - 0.005,
                "support": 480,
            },
            "正面": {"precision": accuracy + 0.01, "recall": accuracy - 0.02, "f1": accuracy - 0.006, "support": 520},
        },
    }
    return scores | ({"confusion_matrix": confusion} if confusion else {})


def _entity_scores_of(f1: float) -> dict[str, Any]:
    return {
        "num_examples": 300,
        "precision": f1 + 0.02,
        "recall": f1 - 0.02,
        "f1": f1,
        "support": 912,
        "macro_f1": f1 - 0.03,
        "token_accuracy": 0.97,
        "by_type": {
            "ORG": {"precision": f1 - 0.1, "recall": f1 - 0.08, "f1": f1 - 0.09, "support": 210},
            "PER": {"precision": f1 + 0.05, "recall": f1 + 0.03, "f1": f1 + 0.04, "support": 402},
            "LOC": {"precision": f1, "recall": f1 - 0.01, "f1": f1, "support": 300},
        },
    }


@pytest.fixture
def make_manifest() -> Callable[..., Manifest]:
    return _make_manifest


@pytest.fixture
def scores_of() -> Callable[..., dict[str, Any]]:
    return _scores_of


@pytest.fixture
def entity_scores_of() -> Callable[..., dict[str, Any]]:
    return _entity_scores_of


@pytest.fixture
def fake_run(tmp_path: Path) -> FakeRun:
    """A run of this test's own, whose files it may change."""
    return _fake_run(tmp_path)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return _fake_run(tmp_path_factory.mktemp("run")).collect()


@pytest.fixture(scope="session")
def report(collected: RunView) -> str:
    return render_report(collected)


def _fake_run(root: Path) -> FakeRun:
    outputs: dict[str, tuple[Path, Manifest]] = {}

    def add(stage: str, counts: dict[str, Any], *, files: dict[str, str] | None = None, **kinds: Any) -> None:
        folder = root / "store" / stage.replace("/", "-")
        folder.mkdir(parents=True)
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        parents = {role: outputs[parent][1] for role, parent in kinds.pop("parents", {}).items()}
        outputs[stage] = (folder, _make_manifest(stage, counts, folder=folder, parents=parents, **kinds))

    _add_data(add)
    _add_training(add)
    built = {"slices/reviews", "documents/reviews", "tokens/reviews", "examples/domain_transfer", "domain_transfer"}
    built |= {"task_transfer", "fine_tune/sentiment", "fine_tune/entities"}
    decisions = []
    for stage in dict.fromkeys(stage.rsplit("/", 1)[0] if stage.startswith("slices/") else stage for stage in outputs):
        reason = "nothing it depends on changed"
        if stage in built:
            reason = (
                "texts/reviews.jsonl changed: 1 of 2 slices"
                if stage == "slices/reviews"
                else "documents/reviews changed"
            )
        decisions.append({"stage": stage, "action": "built" if stage in built else "reused", "reason": reason})
    return FakeRun(decisions=decisions, outputs=outputs, examples=_example_views())


def _add_data(add: Any) -> None:
    for task, labels in (
        ("sentiment", {"negative": 5000, "正面": 5200}),
        ("entities", {"ORG": 90, "PER": 210, "LOC": 180}),
    ):
        splits = {
            "train": {"records": 10200, "documents": 10200, "labels": labels, "not_scored": 0},
            "dev": {"records": 1000, "documents": 1000, "labels": labels, "not_scored": 270},
            "test": {"records": 1000, "documents": 1000, "labels": labels, "not_scored": 270},
        }
        counts = {"seen": 27410, "quarantined": {"no_label": 3}, "quarantined_places": ["labelled.tsv:17"]}
        counts |= {"duplicates": 14601, "contradictions": 41, "overlaps": {"train_dev": 0}, "leaks": 25}
        add(f"split/{task}", counts | {"splits": splits}, kind="split", seconds=1.9)
    for corpus, sizes in (("news", (9800, 9684)), ("reviews", (17100, 18024))):
        books: dict[str, Any] = {}
        for number, records in enumerate(sizes):
            books = {"seen": records, "used": records - 914, "repaired": 912, "quarantined": 2, "cut": 0}
            books |= {"dropped": {"min_characters": 211, "min_han_share": 18}, "reasons": {"not UTF-8": 2}}
            books |= {"repairs": {"half_width": 512, "markup": 400}, "documents": records - 231}
            books |= {"characters": 61 * records}
            add(f"slices/{corpus}/{number:04d}", books, kind="slice", seconds=2.4, num_bytes=130 * records)
        counts: dict[str, Any] = {"seen": sum(sizes), "used": sum(sizes) - 1828, "repaired": 1824, "quarantined": 4}
        counts |= {"reasons": {"not UTF-8": 4}, "dropped": {"min_characters": 422, "min_han_share": 36}}
        counts |= {"duplicates": 1204, "duplicate_clusters": 730, "characters": 61 * sum(sizes)}
        counts |= {"contaminated": {"equal": 71, "contains": 20, "inside": 5}, "by_file": {f"texts/{corpus}": 1}}
        counts |= {"documents": sum(sizes) - 4 - 458 - 1204 - 96}
        parents = {f"slices_{number:04d}": f"slices/{corpus}/{number:04d}" for number in range(2)}
        parents |= {"held_out_sentiment": "split/sentiment", "held_out_entities": "split/entities"}
        size = 128 * sum(sizes)
        add(f"documents/{corpus}", counts, kind="documents", parents=parents, seconds=3.1, num_bytes=size)
    add(
        "documents/task_transfer",
        {"documents": 10200},
        kind="documents",
        parents={"split_sentiment": "split/sentiment"},
    )
    parents = {"documents_news": "documents/news", "documents_reviews": "documents/reviews"}
    add("vocabulary", {"size": 8000, "unknown_share": 0.0004}, kind="vocabulary", parents=parents, seconds=11.2)
    for number, (stage, corpus) in enumerate(
        (("pretrain", "news"), ("domain_transfer", "reviews"), ("task_transfer", "task_transfer"))
    ):
        tokens = 2_400_000 // (number + 1)
        counts = {"documents": 17720, "tokens": tokens, "words": tokens * 2 // 3, "unknown_share": 0.0004}
        parents = {"documents": f"documents/{corpus}", "vocabulary": "vocabulary"}
        add(f"tokens/{corpus}", counts, kind="tokens", parents=parents, seconds=4.2)
        train: dict[str, Any] = {
            "examples": 21000 // (number + 1),
            "tokens": tokens,
            "next": 9000,
            "random": 9000,
            "single": 300,
        }
        train |= {"unknown_share": 0.0004, "fill": 0.93, "duplicates": 210}
        train["length_histogram"] = {
            "0-15": 0,
            "16-31": 900,
            "32-63": 1800,
            "64-95": 2300,
            "96-127": 5200,
            "128-191": 8300,
        }
        audit: dict[str, Any] = {
            "train": train,
            "held_out": train | {"examples": 420},
            "mask_rates": {"token": 0.15, "span": 0.149},
            "unknown_characters": [["圳", 1095], ["\u202e", 2]],
        }
        fault = {"subject": "train share of duplicates", "got": "1.3%", "expected": "at most 1%", "is_hard": False}
        audit["faults"] = [fault] if stage == "domain_transfer" else []
        counts = {name: {"examples": audit[name]["examples"], "tokens": tokens} for name in ("train", "held_out")}
        parents = {"tokens": f"tokens/{corpus}", "vocabulary": "vocabulary"}
        files = {"audit.json": json.dumps(audit)}
        add(f"examples/{stage}", counts, kind="examples", parents=parents, files=files, seconds=6.0)


def _add_training(add: Any) -> None:
    before = None
    for stage, steps, accuracy in (
        ("pretrain", 2000, 0.38),
        ("domain_transfer", 800, 0.44),
        ("task_transfer", 300, 0.46),
    ):
        counts = {"steps": steps, "examples": 32 * steps, "tokens": 3_000 * steps, "train_loss": 3.2, "device": "cpu"}
        counts |= {"held_out_mlm_loss": 2.9, "held_out_mlm_accuracy": accuracy, "held_out_nsp_accuracy": accuracy + 0.4}
        parents = {"examples": f"examples/{stage}", "vocabulary": "vocabulary"} | ({"start": before} if before else {})
        files = {"metrics.jsonl": _metrics_text(steps), "model.safetensors": "0" * 40_000}
        add(
            stage,
            counts | {"tokens_per_second": 5123.4},
            kind="transfer",
            parents=parents,
            files=files,
            seconds=0.31 * steps,
        )
        before = stage
    labels = {"sentiment": ["negative", "正面"], "entities": ["PER", "LOC", "ORG"]}
    for task in labels:
        parents = {"split": f"split/{task}", "vocabulary": "vocabulary"}
        sets = {name: {"records": 1000, "examples": 1000, "cut": 12} for name in ("train", "dev", "test")}
        add(f"labelled/{task}", sets, kind="labelled", parents=parents, seconds=0.4)
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("sentiment", "", _scores_of(0.914, [[442, 38], [48, 472]])),
        ("sentiment", "from_pretrain", _scores_of(0.887)),
        ("sentiment", "from_random", _scores_of(0.832)),
        ("sentiment", "tfidf", _scores_of(0.871)),
        ("entities", "", _entity_scores_of(0.861)),
        ("entities", "from_random", _entity_scores_of(0.902)),
    ]
    for task, name, test in rows:
        parents = {"labelled": f"labelled/{task}", "vocabulary": "vocabulary"}
        if name in ("", "from_pretrain"):
            parents["start"] = name.removeprefix("from_") or "task_transfer"
        counts = {
            "num_train_examples": 1000,
            "steps": 96,
            "train_loss": 0.21,
            "best_epoch": 2,
            "test": test,
            "dev": test,
        }
        files = {"metrics.jsonl": _fine_tune_metrics_text(96, "accuracy" if task == "sentiment" else "f1")}
        if not name:
            files["predictions.jsonl"] = _class_lines() if task == "sentiment" else _entity_lines()
        settings = {"labels": labels[task], "random_weights": name == "from_random"}
        add(
            f"fine_tune/{task}" + (f"/{name}" if name else ""),
            counts,
            kind="tfidf" if name == "tfidf" else "fine_tune",
            parents=parents,
            files=files,
            settings=settings,
            seconds=1.2 if name == "tfidf" else 74.0,
        )


def _metrics_text(num_steps: int) -> str:
    lines = []
    for step in range(10, num_steps + 1, 10):
        wave = 0.25 * math.sin(step * 0.7) + 0.15 * math.sin(step * 1.9)
        mlm_loss = 3.0 + 5.5 * math.exp(-step / (0.25 * num_steps)) + wave
        lines.append({"split": "train", "step": step, "loss": mlm_loss + 0.5, "mlm_loss": mlm_loss, "nsp_loss": 0.5})
        if step % (num_steps // 8 // 10 * 10) == 0:
            share = 1 - math.exp(-step / (0.3 * num_steps))
            lines.append(
                {"split": "held_out", "step": step, "loss": 8.6 - 5 * share, "mlm_loss": 8.1 - 5 * share}
                | {"mlm_accuracy": 0.45 * share, "nsp_accuracy": 0.5 + 0.36 * share}
            )
    return "".join(json.dumps(line) + "\n" for line in lines) + '{"split": "train", "step": 1'


def _fine_tune_metrics_text(num_steps: int, score: str) -> str:
    lines: list[dict[str, Any]] = []
    for step in range(1, num_steps + 1):
        lines.append({"split": "train", "step": step, "loss": 0.7 * math.exp(-step / 40) + 0.08 * math.sin(step)})
        if step % 32 == 0:
            dev = {"split": "dev", "step": step, "epoch": step // 32, "loss": 0.9 - step / 200}
            lines.append(dev | {score: 0.8 + step / 1000, "macro_f1": 0.79 + step / 1000})
    return "".join(json.dumps(line) + "\n" for line in lines)


def _class_lines() -> str:
    wrong = [
        ("客服回复很快，就是问题一直没有解决，不会再来了。", "negative", "正面", 0.981, 0.019),
        ("一开始以为会失望，用了两周才发现真香。", "正面", "negative", 0.964, 0.036),
        ("I expected little and got even less, but the delivery man was kind.", "negative", "正面", 0.951, 0.049),
        (HOSTILE, "negative", "正面", 0.93, 0.07),
        (OVERRIDE, "negative", "正面", 0.90, 0.10),
        (LONG, "正面", "negative", 0.88, 0.12),
        ("包装破了，不过里面的杯子完好。", "正面", "negative", 0.72, 0.28),
        ("The colour is nothing like the picture;\nstill, my daughter loves it.", "正面", "negative", 0.66, 0.34),
        ("价格便宜，质量也就对得起这个价格。", "negative", "正面", 0.58, 0.42),
    ]
    lines: list[dict[str, Any]] = [
        {"text": "很好，下次还来。", "gold": "正面", "predicted": "正面", "probability": 0.99, "gold_probability": 0.99}
    ] * 12
    lines += [
        {"text": text, "gold": gold, "predicted": predicted, "probability": probability, "gold_probability": rest}
        for text, gold, predicted, probability, rest in wrong
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _entity_lines() -> str:
    def span(text: str, part: str, kind: str) -> dict[str, Any]:
        start = text.index(part)
        return {"text": part, "type": kind, "start": start, "end": start + len(part)}

    people = ("林小雨", "PER"), ("Anna Berg", "PER")
    town, firm, school = ("青石镇", "LOC"), ("白湖公司", "ORG"), ("东岭大学", "ORG")
    museum, lakeside, oldtown = ("Lakeside Museum", "ORG"), ("Lakeside", "LOC"), ("Oldtown", "LOC")
    lines = []
    for text, gold, predicted in (
        ("昨天林小雨从青石镇坐船去了白湖公司。", (people[0], town, firm), (people[0], ("白湖", "LOC"))),
        ("Anna Berg joined the Lakeside Museum in Oldtown.", (people[1], museum), (people[1], lakeside, oldtown)),
        ("会议在东岭大学举行。", (school,), (school,)),
    ):
        lines.append(
            {
                "text": text,
                "gold": [span(text, *item) for item in gold],
                "predicted": [span(text, *item) for item in predicted],
                "probability": 0.9,
                "gold_probability": 0.31,
            }
        )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _example_view(
    number: int, label: int, a: str, b: str, masks: Mapping[int, Mapping[int, tuple[str, str]]]
) -> ExampleView:
    """A view of `[CLS] A [SEP] B [SEP]`.

    Args:
        number: gives ids.
        label: 0, 1 or -100.
        a: tokens of A, parted by spaces; a token that goes on a word begins with `+`.
        b: tokens of B, as `a`; empty for none.
        masks: by epoch and position, what is shown and how.
    """
    spelled = ["[CLS]", *a.split(), "[SEP]", *([*b.split(), "[SEP]"] if b else [])]
    tokens = [token.removeprefix("+") for token in spelled]
    firsts = [index for index, token in enumerate(spelled) if not token.startswith("+")]
    drawn = []
    for epoch, changes in masks.items():
        changed: list[Any] = [changes.get(index, (token, "")) for index, token in enumerate(tokens)]
        drawn.append(MaskedView("whole_word", epoch, [shown for shown, _ in changed], [how for _, how in changed]))
    return ExampleView(
        row=number,
        example_id=number * 0x9E3779B97F4A7C15 % 2**64,
        tokens=tokens,
        words=list(zip(firsts, [*firsts[1:], len(tokens)], strict=True)),
        entities=[],
        length_a=len(a.split()),
        next_sentence_label=label,
        doc_id_a=number,
        token_a=0,
        doc_id_b=number if label == 0 else number + 100,
        token_b=len(a.split()) if b else -1,
        round=0,
        masks=drawn,
    )


def _example_views() -> dict[str, list[ExampleView]]:
    mask = ("[MASK]", "mask")
    beach: dict[int, dict[int, tuple[str, str]]] = {
        0: {4: mask, 5: mask, 19: mask, 20: ("店", "random")},
        1: {11: mask, 12: mask, 27: ("豆", "kept")},
    }
    lamp = {0: {2: mask, 6: ("river", "random"), 7: mask}, 1: {3: mask, 26: ("return", "kept")}, 2: {9: mask}}
    return {
        "examples/domain_transfer": [
            _example_view(
                1,
                0,
                "我 +们 在 海 +边 住 了 三 天 ， 房 +间 干 +净 。",
                "早 +餐 的 品 +种 不 多 ， 但 +是 豆 +浆 很 好 喝 。",
                beach | {2: {1: mask, 2: mask, 30: mask}},
            ),
            _example_view(
                2,
                1,
                "the lamp arrived with a crack +##ed shade , so i sent it back the same day .",
                "the shop paid for the return and mailed a new one .",
                lamp,
            ),
            _example_view(
                3,
                1,
                "他 把 灯 放 在 窗 +边 。",
                "发 +货 速 +度 一 +般 。",
                {0: {3: mask}, 1: {12: mask, 13: mask}, 2: {5: ("水", "random")}},
            ),
            _example_view(
                4, -100, "<script> alert ( 1 ) </script> 好", "", {0: {7: ("<b>", "random")}, 1: {2: mask}, 2: {}}
            ),
        ],
        "examples/pretrain": [
            _example_view(
                5,
                0,
                "秋 +天 的 稻 +田 一 +片 金 +黄 。",
                "村 +里 的 人 忙 着 收 +割 。",
                {0: {4: mask, 5: mask}, 1: {12: mask, 13: mask}, 2: {8: mask}},
            )
        ],
    }
