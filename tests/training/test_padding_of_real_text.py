"""Less than 2 % of what a model reads is padding in batches of like length, and less than 5 % in packed rows."""

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from bert_core.examples.reader import ExampleSet
from bert_core.stages.build import run_stage
from bert_core.stages.line import LineRequest, open_line
from bert_core.training.order import BatchPlan
from bert_core.training.packing import pack

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NUM_ARTICLES = 1_000

RECIPE = """\
name: real
workspace: {folder}/workspace
corpora: {{articles: {{paths: [{folder}/articles.jsonl], text_column: text}}}}
vocabulary: {{path: {vocabulary}}}
words: {{segmenter: none}}
pretrain: {{corpus: articles, examples: {{max_tokens: 128}}}}
domain_transfer: {{corpus: articles, examples: {{max_tokens: 512}}}}
"""


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs the data folder beside the checkout")
def test_padding_of_real_text_is_below_two_percent(tmp_path):
    with gzip.open(DATA / "general" / "lctt_articles.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [max(json.loads(line).values(), key=lambda value: len(str(value))) for line in file]
    texts = list(itertools.islice(texts, NUM_ARTICLES))
    (tmp_path / "articles.jsonl").write_text(
        "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts), encoding="utf-8"
    )
    recipe = tmp_path / "real.yaml"
    vocabulary = DATA / "vocab" / "google_zh_vocab.txt"
    recipe.write_text(RECIPE.format(folder=tmp_path, vocabulary=vocabulary), encoding="utf-8")
    line = open_line(LineRequest(recipe=str(recipe)))
    for stage in line.stages.values():
        if stage.kind != "transfer":
            run_stage(line, stage.id)
    shares = {}
    for name, row_tokens in (("pretrain", 512), ("domain_transfer", 2048)):
        examples = ExampleSet.open(line.outputs_of(f"examples/{name}")[0].folder, "train")
        assert examples.lengths.sum() > 500_000
        for is_packed in (False, True):
            plan = BatchPlan(examples.lengths, [examples.rows_of_round(0)], 32, 1, name, sort_by_length=not is_packed)
            num_places = 0
            for step in range(plan.num_batches(0)):
                lengths = examples.lengths[plan.rows(step)[1]]
                if is_packed:
                    _, _, num_rows, widest = pack(np.asarray(lengths), row_tokens)
                    num_places += num_rows * widest
                else:
                    num_places += len(lengths) * int(lengths.max())
            shares[name, is_packed] = 1 - examples.lengths.sum() / num_places
    assert max(share for (_, is_packed), share in shares.items() if not is_packed) < 0.02, shares
    assert max(shares.values()) < 0.05, shares  # rows of random examples, few to a batch of 32
    assert min(shares.values()) > 0.0, shares
