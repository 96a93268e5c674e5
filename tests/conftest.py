"""A tiny line over written text: two corpora, one task of two classes, a model of one layer of width 32."""

from pathlib import Path

import pytest

SUBJECTS = ["小明", "老师", "医生", "我们", "他的朋友", "邻居", "厨师", "店员"]
ACTIONS = ["今天去了", "昨天离开", "早上经过", "下午打扫", "常常谈起", "画过", "不认识", "第一次看见"]
PLACES = ["学校", "医院", "北京的公园", "图书馆", "新开的饭馆", "河边", "火车站", "那家书店"]
MOODS = [("很好", "positive"), ("非常满意", "positive"), ("太差", "negative"), ("令人失望", "negative")]

RECIPE = """\
name: tiny
workspace: {folder}/workspace
seed: 3
corpora:
  general:
    paths: [{folder}/general.txt]
    format: txt_blank_line
  reviews:
    paths: [{folder}/reviews.txt]
    format: txt_line
vocabulary: {{size: 300}}
model: {{num_layers: 1, hidden_size: 32, num_heads: 2, intermediate_size: 64, max_positions: 64}}
pretrain:
  corpus: general
  steps: 4
  batch_examples: 4
  evaluate_every_steps: 2
  examples: {{max_tokens: 48, held_out_fraction: 0.2}}
domain_transfer:
  corpus: reviews
  steps: 3
  batch_examples: 4
  examples: {{max_tokens: 48, objective: none, held_out_fraction: 0.1}}
task_transfer:
  tasks: [mood]
  steps: 2
  batch_examples: 4
  examples: {{max_tokens: 48, objective: none, held_out_fraction: 0.1}}
tasks:
  mood:
    family: single_sentence
    labels: [positive, negative]
    sources: [{{path: {folder}/mood.tsv, format: tsv}}]
    dev_fraction: 0.2
    test_fraction: 0.2
    fine_tune: {{epochs: 1, batch_examples: 8, max_tokens: 32}}
    compare: [random, tfidf]
"""


def sentence(number: int) -> str:
    """A sentence of its own for each number below 512."""
    subject, action, place = number % 8, number // 8 % 8, number // 64 % 8
    return f"{SUBJECTS[subject]}{ACTIONS[action]}{PLACES[place]}。"


def write_tiny(folder: Path) -> Path:
    """Write raw text, labelled text and a recipe into a folder, and return the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = ["\n".join(sentence(7 * d + k) for k in range(6)) for d in range(40)]
    (folder / "general.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    reviews = [f"{sentence(3 * n + 300)}{MOODS[n % 4][0]}，值得再来{n}次。" for n in range(60)]
    (folder / "reviews.txt").write_text("\n".join(reviews) + "\n", encoding="utf-8")
    rows = ["text\tlabel"]
    for n in range(60):
        word, label = MOODS[n % 4]
        rows.append(f"{sentence(5 * n + 100)}这次{word}，花了{n}块。\t{label}")
    (folder / "mood.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(folder=folder), encoding="utf-8")
    return recipe


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """Path of a tiny recipe in a folder of its own."""
    return write_tiny(tmp_path)


@pytest.fixture(scope="module")
def shared_tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a tiny recipe that the tests of a file share, with what the earlier ones built."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))
