"""Compile every numba kernel once, so that no later process compiles: `python -m bert_core.compile_kernels`.

A line over a few written sentences is built in a temporary folder by the real builders, and a few batches are drawn
from it, so that each kernel is compiled for the types that it really meets and left in numba's cache (beside the
source, or in NUMBA_CACHE_DIR); the tables of characters are kept on the way (`store/kept_tables.py`). Nothing else
remains.

Vocabularies of more than 65,536 entries have wider token ids; their kernels are compiled when first used.
"""

import logging
import tempfile
import time
from pathlib import Path

_SUBJECTS = ("小明", "老师", "医生", "邻居")
_ACTIONS = ("今天去了", "昨天离开", "早上经过", "第一次看见")
_PLACES = ("学校", "医院", "北京的公园", "图书馆")
_MOODS = (("很好", "positive"), ("太差", "negative"))
_THESAURUS = "Aa01A01= 学校 医院 公园\nAa01A02= 老师 医生 邻居\n"
_LEXICON = "北京\n图书馆\n"
_RECIPE = """\
name: compile
workspace: {folder}/workspace
corpora:
  general: {{paths: [{folder}/general.txt], format: txt_blank_line, deduplicate: near}}
vocabulary: {{size: 200}}
words: {{lexicons: [{folder}/lexicon.txt]}}
pretrain: {{corpus: general, examples: {{max_tokens: 48, pairing_rounds: 2, held_out_fraction: 0.2}}}}
domain_transfer: {{corpus: general, examples: {{max_tokens: 16, objective: sop}}}}
task_transfer: {{tasks: [mood], examples: {{objective: none}}}}
tasks:
  mood:
    family: single_sentence
    labels: [positive, negative]
    sources: [{{path: {folder}/mood.tsv, format: tsv}}]
    dev_fraction: 0.2
    test_fraction: 0.2
"""


def compile_kernels() -> float:
    """Compile what is not in numba's cache yet; return the seconds that it took, about 15 the first time, 3 later."""
    from bert_core.tokens.arrow_texts import utf8_of

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bertline-compile-") as name:
        folder = Path(name)
        _write_text(folder)
        _build_data(folder / "recipe.yaml", folder / "thesaurus.txt")
    _train()
    utf8_of(["汉"])
    return time.monotonic() - began


def _sentence(number: int) -> str:
    subject, action, place = number % 4, number // 4 % 4, number // 16 % 4
    return f"{_SUBJECTS[subject]}{_ACTIONS[action]}{_PLACES[place]}，café No. {number}。"


def _write_text(folder: Path) -> None:
    documents = ["\n".join(_sentence(5 * document + k) for k in range(8)) for document in range(24)]
    rows = [f"{_sentence(3 * n)}{_sentence(7 * n + 1)}这次{_MOODS[n % 2][0]}。\t{_MOODS[n % 2][1]}" for n in range(40)]
    files = {
        "general.txt": "\n\n".join(documents),
        "mood.tsv": "\n".join(["text\tlabel", *rows]),
        "lexicon.txt": _LEXICON,
        "thesaurus.txt": _THESAURUS,
        "recipe.yaml": _RECIPE.format(folder=folder),
    }
    for name, text in files.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _build_data(recipe: Path, thesaurus: Path) -> None:
    """Build all that comes before training, and draw batches of each policy and layout."""
    from typing import get_args

    import numpy as np

    from bert_core.config import MaskingConfig
    from bert_core.examples.masking import MaskVocabulary
    from bert_core.examples.reader import ExampleSet
    from bert_core.stages.build import run_stage
    from bert_core.stages.graph import REFERENCES
    from bert_core.stages.line import LineRequest, open_line
    from bert_core.training.batches import Layout, draw_batch

    line = open_line(LineRequest(recipe=str(recipe), run_id=str(recipe)))
    trainings = {"transfer", "fine_tune", *REFERENCES}
    for stage in line.stages.values():
        if stage.kind not in trainings:
            run_stage(line, stage.id)
    folder_of = {stage: line.outputs_of(stage)[0].folder for stage in ("examples/pretrain", "vocabulary")}
    examples = ExampleSet.open(folder_of["examples/pretrain"], "train")
    for policy in get_args(MaskingConfig.model_fields["policy"].annotation):
        masking = MaskingConfig(policy=policy, thesaurus=str(thesaurus) if policy == "similar_word" else None)
        vocabulary = MaskVocabulary.from_folder(folder_of["vocabulary"], masking)
        for layout in (Layout(), Layout(pack_tokens=128)):
            draw_batch(examples, np.arange(8), masking, vocabulary, 0, 0, layout)


def _train() -> None:
    """Pass forward and backward through a model in both number formats that a CPU trains in."""
    import contextlib

    import torch

    from bert_core.model.dropout import seed_dropout
    from bert_core.model.encoder import BertConfig
    from bert_core.model.pretraining import BertForPretraining, PretrainingBatch

    config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    model = BertForPretraining(config)
    ids = torch.ones(2, 4, dtype=torch.int64)
    batch = PretrainingBatch(ids, ids, torch.tensor([4, 3]), torch.tensor([1, 6]), torch.tensor([2, 3]), ids[:, 0])
    for context in (contextlib.nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        seed_dropout(model, 1)
        with context:
            loss = model(batch).loss
        loss.backward()


def main() -> None:
    """Compile, and say how long it took."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.info("compiled the kernels in %.1f s", compile_kernels())


if __name__ == "__main__":
    main()
