"""Training and taking a vocabulary."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_core.config import VocabularyConfig
from bert_core.errors import RequestError
from bert_core.tokens.vocabulary import build_vocabulary, load_vocabulary
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES

TEXTS = [
    "我们在北京大学学习，playing the game of words.",
    "他们在上海playing games, 学习 the words of the world!",
    "Crème brûlée 한국어 words wording worded",
] * 20


def build(folder: Path, documents: Path | None, size: int = 400, source: Path | None = None, **config):
    folder.mkdir()
    found = build_vocabulary([documents] if documents else [], VocabularyConfig(size=size, **config), source, folder)
    return found, load_vocabulary(folder)


def test_trained_vocabulary_holds_every_character_once_and_pieces_of_words(tmp_path, write_documents: Callable):
    counts, entries = build(tmp_path / "out", write_documents(TEXTS))
    assert entries[:5] == list(SPECIAL_ENTRIES)
    assert len(set(entries)) == len(entries) <= 400
    assert set("我们在北京大学习他上海，！.,") - {"！"} <= set(entries)
    assert {"the", "words", "playing", "##ing"} & set(entries) >= {"the", "words", "playing"}
    assert not any("\u4e00" <= entry[2] <= "\u9fff" for entry in entries if entry.startswith("##"))
    assert "é" not in entries  # accents are stripped
    assert counts == {
        "trained": True,
        "lowercase": True,
        "size": len(entries),
        "han_characters": len(set("我们在北京大学学习他们上海")),
        "documents": 60,
        "tokens": counts["tokens"],
        "unknown_tokens": 0,
        "unknown_share": 0.0,
        "new_entries": 0,
        "strip_accents": True,
    }


def test_size_is_kept_and_frequent_characters_come_first(tmp_path, write_documents: Callable):
    rare = "".join(chr(0x4E00 + number) for number in range(300))
    documents = write_documents(["我爱北京" * 200, rare, "北京" * 10])
    counts, entries = build(tmp_path / "out", documents, size=200)
    assert len(entries) == 200
    assert set("我爱北京") <= set(entries)
    assert counts["unknown_tokens"] == 300 - (200 - 5 - 4) - len(set(rare) & set("我爱北京"))


@pytest.mark.parametrize("lowercase", [True, False])
def test_bytes_do_not_depend_on_hash_seed_or_threads(tmp_path, write_documents: Callable, lowercase: bool):
    documents = write_documents([*TEXTS, "αβγ αβγδ βγδ дом дома домой " * 9, "aab abb bab bba baa aba " * 7])
    code = (
        "import sys; from pathlib import Path; from bert_core.config import VocabularyConfig;"
        "from bert_core.tokens.vocabulary import build_vocabulary;"
        "build_vocabulary([Path(sys.argv[1])], VocabularyConfig(size=300, lowercase=sys.argv[3] == '1'), None,"
        " Path(sys.argv[2]))"
    )
    found = []
    for seed, threads in (("0", "1"), ("1", "2"), ("2", "4")):
        folder = tmp_path / f"out-{seed}"
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        arguments = [sys.executable, "-c", code, str(documents), str(folder), str(int(lowercase))]
        subprocess.run(arguments, check=True, env=environment)
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert sorted(found[0]) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert found[0] == found[1] == found[2]


def test_given_vocabulary_is_taken_as_it_is(tmp_path, write_documents: Callable):
    source = tmp_path / "vocab.txt"
    given = [*SPECIAL_ENTRIES, "[unused1]", "北", "京"]
    source.write_text("\n".join(given), encoding="utf-8")
    counts, entries = build(tmp_path / "out", write_documents(["北京我"]), source=source)
    assert entries == given
    assert (counts["trained"], counts["size"], counts["han_characters"]) == (False, 8, 2)
    assert (counts["tokens"], counts["unknown_tokens"], counts["unknown_share"]) == (3, 1, 0.333333)


def test_given_vocabulary_needs_no_documents(tmp_path):
    source = tmp_path / "vocab.txt"
    source.write_text("\n".join(SPECIAL_ENTRIES), encoding="utf-8")
    counts, _ = build(tmp_path / "out", None, source=source)
    assert (counts["documents"], counts["unknown_share"]) == (0, None)


def test_training_on_nothing_is_refused(tmp_path, write_documents: Callable):
    with pytest.raises(RequestError, match="hold no text"):
        build(tmp_path / "out", write_documents([" \n"]))


def test_progress_reaches_the_number_of_documents(tmp_path, write_documents: Callable):
    seen = []
    folder = tmp_path / "out"
    folder.mkdir()
    build_vocabulary(
        [write_documents(TEXTS)], VocabularyConfig(size=300), None, folder, lambda *values, **_: seen.append(values)
    )
    assert seen[-1] == (60, 60, "documents")
