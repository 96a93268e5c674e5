"""Our side: raw files to example shards through the stages of a recipe, as `bertline run` runs them.

Each stage reads its inputs from the workspace, builds, and seals its output with a manifest of digests; all of
this is in the time. A tiny recipe runs first in the same process, so that compiled code is loaded before the
clock starts (`warm=False` leaves that out, to time a whole process).
"""

import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.measure import clock
from benchmarks.text import KEPT

CODECS: dict[str, int | None] = {"lz4": None, "zstd": 3}
"""Compression of buffers, with its level where it has one: 3 is zstd's own default (Arrow's is 1)."""
FROM_RAW = ("slices/text", "documents/text", "vocabulary", "tokens/text", "examples/pretrain")
FROM_DOCUMENTS = ("tokens/text", "examples/pretrain")


def build(
    raw: str,
    vocabulary: str,
    *,
    repeats: int = 1,
    warm: bool = True,
    segmenter: str = "none",
    lexicons: tuple[str, ...] | list[str] = (),
    keep: str = "",
) -> dict[str, Any]:
    """Run the line from a raw file to examples.

    Args:
        raw: JSON lines with `text`.
        vocabulary: a vocab.txt.
        repeats: runs, each in a new workspace; the one of median time counts.
        warm: run a tiny recipe first.
        segmenter: what finds words.
        lexicons: files of entities.
        keep: folder that the workspace of the last run is moved to; empty to drop it.

    Returns:
        seconds and cpu_seconds by stage, counts by stage, folders by stage (where kept),
        text_bytes (of the cleaned documents), example_bytes, compressed_bytes by codec, and tokens.
    """
    settings = {"raw": raw, "vocabulary": vocabulary, "segmenter": segmenter, "lexicons": list(lexicons)}
    KEPT.mkdir(exist_ok=True)
    if warm:
        with tempfile.TemporaryDirectory(dir=KEPT) as folder:
            _run(Path(folder), {**settings, "raw": _tiny(Path(folder), Path(raw))})
    runs = []
    for number in range(repeats):
        with tempfile.TemporaryDirectory(dir=KEPT) as folder:
            runs.append(_run(Path(folder), settings))
            if keep and number == repeats - 1:
                shutil.rmtree(keep, ignore_errors=True)
                shutil.move(folder, keep)
                Path(folder).mkdir()
                runs[-1]["folders"] = {
                    stage: where.replace(folder, keep) for stage, where in runs[-1]["folders"].items()
                }
    chosen = sorted(runs, key=lambda run: sum(run["seconds"].values()))[len(runs) // 2]
    return {**chosen, "folders": runs[-1]["folders"]}


def _run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    import yaml

    from bert_core.stages.build import run_stage
    from bert_core.stages.line import LineRequest, open_line

    recipe = {
        "name": "benchmark",
        "workspace": str(folder / "workspace"),
        "corpora": {"text": {"paths": [settings["raw"]], "format": "jsonl"}},
        "vocabulary": {"path": settings["vocabulary"]},
        "words": {"segmenter": settings["segmenter"], "lexicons": settings["lexicons"]},
        "pretrain": {"corpus": "text", "examples": {"max_tokens": 128}},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    with clock() as opening:
        line = open_line(LineRequest(recipe=str(path)))
    seconds, cpu_seconds = {"plan": opening.seconds}, {"plan": opening.cpu_seconds}
    counts: dict[str, Any] = {}
    folders: dict[str, str] = {}
    for stage in FROM_RAW:
        name = stage if stage in line.stages else _slices_id(line.stages)
        with clock() as taken:
            result = run_stage(line, name)
        seconds[stage], cpu_seconds[stage] = taken.seconds, taken.cpu_seconds
        counts[stage], folders[stage] = result.counts, result.folder
    shards = list(Path(folders["examples/pretrain"]).glob("*.arrow"))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "counts": counts,
        "folders": folders,
        "text_bytes": _text_bytes(Path(folders["documents/text"])),
        "example_bytes": sum(shard.stat().st_size for shard in shards),
        "compressed_bytes": {codec: _compressed_bytes(shards, codec, level) for codec, level in CODECS.items()},
        "tokens": _example_tokens(shards),
    }


def _slices_id(stages: dict[str, Any]) -> str:
    (found,) = [name for name, stage in stages.items() if stage.kind == "slices"]
    return found


def _text_bytes(documents: Path) -> int:
    import pyarrow.compute as pc

    from bert_core.store.shards import read_shards

    lengths = pc.call_function("binary_length", [read_shards(documents, "documents").column("text")])
    return int(pc.call_function("sum", [lengths]).as_py())


def _example_tokens(shards: list[Path]) -> int:
    from bert_core.store.shards import list_column, read_shard

    rows = [shard for shard in shards if not shard.name.startswith("sources-")]
    return sum(int(list_column(read_shard(shard), "input_ids")[1][-1]) for shard in rows)


def _compressed_bytes(shards: list[Path], codec: str, level: int | None) -> int:
    """Size of the same shards with each buffer compressed."""
    import pyarrow as pa

    from bert_core.store.shards import read_shard

    size = 0
    for shard in shards:
        sink, table = pa.MockOutputStream(), read_shard(shard)
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec(codec, compression_level=level))
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        size += sink.size()
    return size


def check_tokens(documents: str, tokens: str, vocabulary: str, num_bytes: int) -> dict[str, int]:
    """Compare the tokens that the line wrote with those of the tokenizers library, document by document.

    Returns:
        documents looked at, and how many of them differ.
    """
    from bert_core.store.shards import read_shards
    from bert_core.tokens.vocabulary_files import library_tokenizer, load_vocabulary

    library = library_tokenizer(load_vocabulary(Path(vocabulary)), True)
    texts = read_shards(Path(documents), "documents").select(["doc_id", "text"])
    rows = read_shards(Path(tokens), "tokens").select(["doc_id", "input_ids"])
    looked_at = differing = size = 0
    number = 0
    for doc_id, text in zip(texts.column("doc_id").to_pylist(), texts.column("text"), strict=True):
        ids = library.encode(text.as_py(), add_special_tokens=False).ids
        if ids:
            is_row = rows.column("doc_id")[number].as_py() == doc_id
            differing += not (is_row and rows.column("input_ids")[number].as_py() == ids)
            number += 1
        looked_at += 1
        size += len(text.as_py().encode())
        if size >= num_bytes:
            break
    return {"documents": looked_at, "differing": differing}


def _tiny(folder: Path, raw: Path) -> str:
    """A few documents of the same text, enough for every kernel to run."""
    path = folder / "tiny.jsonl"
    with raw.open(encoding="utf-8") as lines:
        path.write_text("".join(islice(lines, 40)), encoding="utf-8")
    return str(path)
