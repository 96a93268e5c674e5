"""From text to examples: bertline beside the tools that people use for it, same text, same vocabulary, one run.

    pip install flash-tokenizer==1.2.0 blingfire==0.1.8        # peers that are skipped where they are not installed
    python benchmarks/examples.py [--quick] [--json FILE] [--no-memory]

Rates are in MB (10^6 bytes) of UTF-8 text after cleaning. Ours works on the whole text, a peer on a part of it
that it can do in reasonable time; rates, not times, are compared. Each side runs in a process of its own, one
after the other, and what it does first (imports, compiled code from the cache) is done before its clock starts.
Where results should be equal they are compared, and the command fails if they are not.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import ours, table, text
from benchmarks.goals import GOOGLE, LDDL, RUN_MLM, TOKENIZERS, goal_of
from benchmarks.masking import POLICIES
from benchmarks.measure import run_alone
from benchmarks.table import Row, compare
from benchmarks.tokenizing import ONE_THREAD

LANGUAGES = {"zh": "Chinese", "en": "English"}
_GOOGLE_NOTE = (
    "google-research re-stated: pure Python, reads sentences split beforehand, static masks, padded TFRecord, "
    "dupe_factor 1."
)
_LDDL_NOTE = (
    "LDDL re-stated: splits sentences itself by a regular expression, tokenizes by BertTokenizerFast, writes A and B "
    "as strings in Parquet; no masks, duplicate_factor 1."
)
_RUN_MLM_NOTE = "run_mlm: tokenizes and packs by datasets.map; no pairs, no words, masks drawn later."
_OURS_NOTE = (
    "Ours: stages tokens and examples with sentences, pairs, provenance, audit and sealed digests, 2 cores; no masks "
    "stored, words of one character (words.segmenter none)."
)
_RAW_NOTE = "Ours also reads JSON lines, decodes, cleans, splits, drops exact duplicates and reads the vocabulary."
_TOKENIZING_NOTE = (
    "Sentences in a Python list to the ids of all in one numpy array, 1 thread, processor time; ours finds each "
    "token's characters as well. The share of sentences in which a peer's ids are those of the tokenizers library is "
    "given with the checks."
)
_MASKING_NOTE = (
    "Batches of 256 examples of up to 128 tokens, 1 thread, processor time. Ours: rows read from shards, masked, "
    "padded, tensors. DataCollatorForLanguageModeling: lists of ids in memory, masked, padded, tensors."
)
_ARROW_NOTE = (
    "The same sentences as an Arrow column, as the line holds them; the peers take Python strings alone, and their "
    "figures are those of the rows above."
)
_WORDS_NOTE = "With rjieba's words, a bit for each token, and the entities of a lexicon."
_PROCESS_NOTE = (
    "Raw text to sealed examples in a fresh process, with interpreter, imports and compiled code from its cache."
)
_START_NOTE = "The row above less the time of the same stages in a warm process. Goal: at most 1 s."
_MEMORY_NOTE = (
    "Anonymous memory of the process and its children over one build; pages of mapped files are not counted. A peer's "
    "memory is that of its part of the text."
)


@dataclass(frozen=True)
class Sizes:
    """How much text each side works on, bytes, and how long loops are repeated."""

    zh: int
    en: int
    google: int
    others: int
    tokenizing: int
    repeats: int
    loop_seconds: float
    memory_times: int


FULL = Sizes(61_500_000, 20_800_000, 2_000_000, 8_000_000, 8_000_000, 3, 3.0, 10)
QUICK = Sizes(3_000_000, 1_000_000, 200_000, 400_000, 400_000, 1, 0.15, 0)


@dataclass(frozen=True)
class Corpus:
    """One language: our build of it and the parts that the peers read."""

    language: str
    raw: Path
    vocabulary: str
    built: dict[str, Any]
    """What our build of it returned, after a warm-up."""
    fresh: dict[str, Any]
    """The same of one build in a fresh process."""
    megabytes: float


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small parts, within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--no-memory", action="store_true", help="leave out the build of ten times the text")
    arguments = parser.parse_args()
    if not text.DATA.exists():
        parser.exit(2, f"{text.DATA}: no such folder; the Chinese text and the vocabularies are taken from there\n")
    sizes = QUICK if arguments.quick else FULL
    text.KEPT.mkdir(exist_ok=True)
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=text.KEPT) as folder:
        for language in LANGUAGES:
            corpus = _build_ours(language, sizes, Path(folder))
            rows += _building_rows(corpus, sizes, Path(folder) / language, facts)
            rows += _tokenizing_rows(corpus, sizes, Path(folder) / language, facts)
            if language == "zh":
                rows += _masking_rows(corpus, sizes, facts)
                rows += _process_rows(corpus, sizes, facts, ten_times=not arguments.no_memory)
            shutil.rmtree(Path(folder) / f"{language}-ours")
    table.show(rows)
    if arguments.json:
        name = " ".join(["python benchmarks/examples.py", *(["--quick"] if arguments.quick else [])])
        table.write_json(arguments.json, name, rows, facts)
    wrong = [name for name, fact in facts.items() if name.startswith("check ") and not fact["equal"]]
    for name in wrong:
        print(f"not equal: {name}: {facts[name]}", file=sys.stderr)  # noqa: T201
    return 1 if wrong else 0


def _build_ours(language: str, sizes: Sizes, folder: Path) -> Corpus:
    """Build a corpus warm for its rates, and once in a fresh process for its memory and the whole time."""
    inputs = {
        "raw": str(text.raw_text(language, getattr(sizes, language))),
        "vocabulary": str(text.vocabulary(language)),
    }
    fresh = run_alone("benchmarks.ours:build", None, warm=False, **inputs)
    kept = str(folder / f"{language}-ours")
    built = run_alone("benchmarks.ours:build", None, repeats=sizes.repeats, keep=kept, **inputs)
    return Corpus(language, Path(inputs["raw"]), inputs["vocabulary"], built, fresh, built["text_bytes"] / 1e6)


def _building_rows(corpus: Corpus, sizes: Sizes, folder: Path, facts: dict[str, Any]) -> list[Row]:
    """Documents to examples, raw text to examples, bytes a token, peak memory: ours beside three builders."""
    folder.mkdir()
    built, language = corpus.built, corpus.language
    documents = Path(built["folders"]["documents/text"])
    checked = ours.check_tokens(str(documents), built["folders"]["tokens/text"], corpus.vocabulary, sizes.others)
    facts[f"check tokens {language}"] = {**checked, "equal": checked["differing"] == 0}
    rates = {key: _rates(built, key, corpus.megabytes) for key in ("seconds", "cpu_seconds")}
    facts[f"ours {language}"] = {
        "megabytes": corpus.megabytes,
        "raw_digest": text.digest(corpus.raw),
        "seconds": built["seconds"],
        "cpu_seconds": built["cpu_seconds"],
        "tokens": built["tokens"],
        "examples": built["counts"]["examples/pretrain"].get("train", {}),
        "peak_mib": corpus.fresh["peak_mib"],
        "peak_mib_after_repeats": built["peak_mib"],
    }
    plain = built["example_bytes"] / built["tokens"]
    rows, sized, grown = [], [], []
    for name, module, num_bytes, note in (
        (GOOGLE, "google_rule", sizes.google, _GOOGLE_NOTE),
        (LDDL, "lddl_rule", sizes.others, _LDDL_NOTE),
        (RUN_MLM, "run_mlm", sizes.others, _RUN_MLM_NOTE),
    ):
        place = folder / module
        place.mkdir()
        part = text.write_part(documents, place, num_bytes)
        inputs: dict[str, Any] = (
            {"sentences": str(part.sentences)} if name == GOOGLE else {"documents": str(part.documents)}
        )
        made = run_alone(
            f"benchmarks.peers.{module}:build", vocabulary=corpus.vocabulary, output=str(place / "output"), **inputs
        )
        shutil.rmtree(place)
        megabytes = part.num_bytes / 1e6
        facts[f"{module} {language}"] = {"megabytes": megabytes, **made}
        shown, both = f"{name}, {megabytes:.2g} MB", f"{_OURS_NOTE} {note}"
        work = f"documents to examples, {language}"
        ours_wall, ours_cpu = rates["seconds"][0], rates["cpu_seconds"][0]
        rows.append(_row(work, ours_wall, megabytes / made["seconds"], shown, "MB/s", both))
        rows.append(_row(work, ours_cpu, megabytes / made["cpu_seconds"], shown, "MB/cpu-s", both))
        if name == GOOGLE:
            work = f"raw text to examples, {language}"
            raw_wall, raw_cpu = rates["seconds"][1], rates["cpu_seconds"][1]
            rows.append(_row(work, raw_wall, megabytes / made["seconds"], shown, "MB/s", f"{_RAW_NOTE} {note}"))
            rows.append(_row(work, raw_cpu, megabytes / made["cpu_seconds"], shown, "MB/cpu-s", f"{_RAW_NOTE} {note}"))
        theirs = made["bytes"] / made["tokens"]
        sized.append(_row(f"examples on disk, {language}", plain, theirs, shown, "B/token"))
        if name == LDDL:
            for codec, size in built["compressed_bytes"].items():
                work, snappy = f"examples on disk, {language}, ours as {codec}", made["snappy_bytes"] / made["tokens"]
                sized.append(_row(work, size / built["tokens"], snappy, f"{shown}, as snappy", "B/token"))
        work = f"peak memory, {language}, ours at {corpus.megabytes:.0f} MB"
        grown.append(_row(work, corpus.fresh["peak_mib"], made["peak_mib"], shown, "MiB", _MEMORY_NOTE))
    return rows + sized + grown


def _rates(built: dict[str, Any], key: str, megabytes: float) -> tuple[float, float]:
    """MB a second from documents and from raw text."""
    taken = built[key]
    from_documents = sum(taken[stage] for stage in ours.FROM_DOCUMENTS)
    return megabytes / max(from_documents, 0.01), megabytes / max(sum(taken.values()), 0.01)


def _tokenizing_rows(corpus: Corpus, sizes: Sizes, folder: Path, facts: dict[str, Any]) -> list[Row]:
    part = text.write_part(Path(corpus.built["folders"]["documents/text"]), folder, sizes.tokenizing)
    found = run_alone(
        "benchmarks.tokenizing:measure",
        environment=ONE_THREAD,
        sentences=str(part.sentences),
        vocabulary=corpus.vocabulary,
        language=corpus.language,
        num_bytes=sizes.tokenizing,
        seconds=sizes.loop_seconds,
    )
    facts[f"check tokenizing {corpus.language}"] = {
        **found,
        "equal": found["equal"]["ours"] == 1.0,
        "by": found["equal"],
    }
    work, rates = f"tokenizing, {corpus.language}, 1 thread", found["rates"]
    names = {"tokenizers": TOKENIZERS}
    return (
        [
            _row(work, rates["ours"], rates[name], str(names.get(name, name)), "MB/s", _TOKENIZING_NOTE)
            for name in rates
            if not name.startswith("ours")
        ]
        + [_row(f"{work}, from Arrow", rates["ours from arrow"], rates["tokenizers"], TOKENIZERS, "MB/s", _ARROW_NOTE)]
        + [
            Row(work, float(f"{rates['ours']:.4g}"), None, f"{name} (not installed)", "MB/s", None, None)
            for name in found["absent"]
        ]
    )


def _masking_rows(corpus: Corpus, sizes: Sizes, facts: dict[str, Any]) -> list[Row]:
    """Masking of a small build with real words and entities, and that build's own cost."""
    raw = text.raw_text("zh", sizes.google)
    lexicon = str(text.DATA / "lexicons" / "THUOCL_law.txt")
    with tempfile.TemporaryDirectory(dir=text.KEPT) as folder:
        kept = str(Path(folder) / "words")
        built = run_alone(
            "benchmarks.ours:build",
            raw=str(raw),
            vocabulary=corpus.vocabulary,
            segmenter="rjieba",
            lexicons=[lexicon],
            keep=kept,
        )
        found = run_alone(
            "benchmarks.masking:measure",
            examples=built["folders"]["examples/pretrain"],
            vocabulary=built["folders"]["vocabulary"],
            seconds=sizes.loop_seconds,
        )
    facts["masking"] = found
    facts["words"] = {"megabytes": built["text_bytes"] / 1e6, **{key: built[key] for key in ("seconds", "cpu_seconds")}}
    megabytes = built["text_bytes"] / 1e6
    words_rate = megabytes / built["seconds"]["tokens/text"]
    rows = [
        _row("tokens with words (rjieba) and entities, zh", words_rate, None, "none", "MB/s", "Stage tokens alone."),
        _row(
            "examples on disk with words and entities, zh",
            built["example_bytes"] / built["tokens"],
            None,
            "none",
            "B/token",
            _WORDS_NOTE,
        ),
    ]
    share = found["untouched_share"]["collator whole_word"]
    wrong = (
        f"{_MASKING_NOTE} With whole_word_mask=True it takes contiguous Chinese for one word: {share:.0%} of the rows "
        "had no target at all, so this is the speed of a wrong result."
    )
    for policy in POLICIES:
        rate = found["rates"][policy]
        rows.append(
            _row(f"masking, {policy}", rate, found["rates"]["collator"], "collator, token", "examples/s", _MASKING_NOTE)
        )
        if policy != "token":
            theirs = found["rates"]["collator whole_word"]
            rows.append(_row(f"masking, {policy}", rate, theirs, "collator, whole_word_mask", "examples/s", wrong))
    return rows


def _process_rows(corpus: Corpus, sizes: Sizes, facts: dict[str, Any], *, ten_times: bool) -> list[Row]:
    """A second process from its start, and memory when the text is ten times as long."""
    fresh = corpus.fresh
    facts["second process"] = {key: fresh[key] for key in ("until_done_seconds", "seconds", "cpu_seconds", "peak_mib")}
    work = f"a second process: start to {corpus.megabytes:.0f} MB built"
    rows = [_row(work, fresh["until_done_seconds"], None, "none", "s", _PROCESS_NOTE)]
    started = max(fresh["until_done_seconds"] - sum(corpus.built["seconds"].values()), 0.01)
    rows.append(_row("a second process: start-up", started, None, "none", "s", _START_NOTE))
    if ten_times and sizes.memory_times:
        raw = text.repeated(corpus.raw, sizes.memory_times)
        try:
            long = run_alone("benchmarks.ours:build", raw=str(raw), vocabulary=corpus.vocabulary, warm=False)
        finally:
            raw.unlink()
        facts["ten times the text"] = {key: long[key] for key in ("text_bytes", "peak_mib", "seconds", "cpu_seconds")}
        work = f"peak memory, zh, {long['text_bytes'] / 1e6:.0f} MB"
        name = f"bertline at {corpus.megabytes:.0f} MB"
        rows.append(_row(work, long["peak_mib"], corpus.fresh["peak_mib"], name, "MiB", _MEMORY_NOTE))
    return rows


def _row(work: str, ours_: float, peer: float | None, peer_name: str, unit: str, note: str = "") -> Row:
    return compare(work, ours_, peer, peer_name, unit, goal=goal_of(work, peer_name, unit, peer), note=note)


if __name__ == "__main__":
    sys.exit(main())
