"""`bertline init`: the commented recipe that a new user starts from."""

from pathlib import Path

from bert_core.errors import RequestError

STARTER_NAME = "recipe.yaml"

STARTER = """\
# A recipe of bertline. `bertline plan recipe.yaml` says what a run would do, `bertline run recipe.yaml` does it.
# Paths are seen from the folder in which the command runs. Every key left out has a default; a key that is not
# known is refused with the nearest one that is.

name: my_line              # names the run and its reports: small letters, digits, _
workspace: workspace       # everything that is built lies here
seed: 1                    # every random draw is a function of this number

corpora:                   # raw text, by any name
  general:
    paths: [data/general.txt]        # files, folders or globs; .gz and .zst are read as they are
    format: txt_blank_line           # one sentence a line, an empty line between documents; or txt_line, txt_file,
                                     # markdown, jsonl, csv, tsv, tagged_words
  domain:
    paths: [data/domain.jsonl]
    format: jsonl
    text_column: text

vocabulary:
  size: 8000               # a WordPiece vocabulary is trained on the corpora; or `path: vocab.txt` to bring one

words:
  segmenter: rjieba        # finds Chinese words for whole-word masking
  lexicons: []             # files with one entity a line, for `policy: entity`

model:                     # random weights of this size; or `start: folder or hub name` to begin from a BERT
  num_layers: 4
  hidden_size: 256
  num_heads: 4
  intermediate_size: 1024

pretrain:                  # general corpus; leave the part out where model.start is good enough
  corpus: general
  steps: 10000
  batch_examples: 32
  masking: {policy: whole_word, mlm_probability: 0.15}
  optimization: {learning_rate: 1.0e-4}

domain_transfer:           # raw text of the domain
  corpus: domain
  steps: 3000
  optimization: {learning_rate: 5.0e-5}

task_transfer:             # training texts of the tasks, labels removed; dev and test never enter
  tasks: [sentiment]
  steps: 1000
  examples: {objective: none}
  optimization: {learning_rate: 5.0e-5}

tasks:
  sentiment:
    family: single_sentence          # or sentence_pair, sequence_labelling, extractive_qa
    labels: [negative, positive]
    sources:
      - {path: data/reviews.jsonl, format: jsonl, text_column: text, label_column: label}
    dev_fraction: 0.1
    test_fraction: 0.1
    fine_tune: {epochs: 3, batch_examples: 32}
    compare: [random, pretrain, tfidf]   # references trained beside it on the same examples
"""


def write_starter(folder: Path) -> Path:
    """Write the commented recipe into a folder, which is made if missing.

    Returns:
        Path of the recipe.

    Raises:
        RequestError: there is one already, or the folder cannot be written.
    """
    path = folder / STARTER_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        raise RequestError(f"{str(path)!r} exists already; name another folder, or remove it first") from None
    except OSError as error:
        raise RequestError(f"{str(path)!r} cannot be written: {error.strerror}; name another folder") from error
    return path
