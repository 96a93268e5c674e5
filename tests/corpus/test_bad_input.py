"""Every kind of bad input: each record has one outcome, used, repaired or quarantined, and the outcomes add up.

Whole files that cannot be used (cut off, bombs, hostile) stop the run with an error that names them.
"""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from bert_core.config import CorpusConfig
from bert_core.corpus import decode, running_text, streams
from bert_core.corpus.paths import resolve_paths
from bert_core.corpus.slices import plan_slices
from bert_core.errors import CorpusError

ROOT = Path(__file__).parents[2]
GOOD = '{"text": "好的文字"}\n'.encode()


def outcome(counts: dict) -> tuple[int, int, int, int]:
    return counts["seen"], counts["used"], counts["repaired"], counts["quarantined"]


@pytest.mark.parametrize(
    ("name", "content", "texts", "outcomes", "reason"),
    [
        ("gbk.txt", "今天天气很好，我们去看水。".encode("gbk"), ["今天天气很好，我们去看水。"], (1, 1, 0, 0), None),
        ("big5.txt", "今天天氣很好，我去看水。".encode("big5"), ["今天天氣很好，我去看水。"], (1, 1, 0, 0), None),
        ("utf16.txt", "今天天气很好。\n\n再见".encode("utf-16"), ["今天天气很好。", "再见"], (2, 2, 0, 0), None),
        ("bom.jsonl", b"\xef\xbb\xbf" + GOOD, ["好的文字"], (1, 1, 0, 0), None),
        ("bom.txt", "\ufeff今天".encode(), ["今天"], (1, 1, 0, 0), None),
        (
            "mixed.txt",
            "今天很好\n".encode() + "我们去看水\n".encode("gbk"),
            ["今天很好\n我们去看水"],
            (1, 0, 1, 0),
            None,
        ),
        ("bad_byte.jsonl", GOOD + b'{"text": "\xff"}\n' + GOOD, ["好的文字"] * 2, (3, 2, 0, 1), "undecodable"),
        ("surrogate.jsonl", b'{"text": "\\ud800 half"}\n', ["\ufffd half"], (1, 0, 1, 0), None),
        ("nul.txt", "好\x00的\x1b[1m文\u200b字".encode(), ["好的文字"], (1, 0, 1, 0), None),
        ("separators.jsonl", '{"text": "一\u2028二\x85三"}\n'.encode(), ["一\n二\n三"], (1, 0, 1, 0), None),
        ("nan.jsonl", GOOD + b'{"text": "a", "x": NaN}\n', ["好的文字"], (2, 1, 0, 1), "invalid_json"),
        ("twice.jsonl", GOOD + b'{"text": "a", "text": "b"}\n', ["好的文字"], (2, 1, 0, 1), "invalid_json"),
        ("deep.jsonl", GOOD + b"[" * 9000 + b"]" * 9000, ["好的文字"], (2, 1, 0, 1), "invalid_json"),
        ("cut.jsonl", GOOD + GOOD[:-6], ["好的文字"], (2, 1, 0, 1), "invalid_json"),
        ("cut_inside.jsonl", GOOD + GOOD[:-5], ["好的文字"], (2, 1, 0, 1), "undecodable"),
        ("blank.jsonl", GOOD + b"\r\n\n" + GOOD.replace(b"\n", b"\r\n"), ["好的文字"] * 2, (2, 2, 0, 0), None),
        ("null.jsonl", GOOD + b'{"text": null}\n', ["好的文字"], (2, 1, 0, 1), "text_not_a_string"),
        ("number.jsonl", GOOD + b'{"text": 5}\n', ["好的文字"], (2, 1, 0, 1), "text_not_a_string"),
        ("list.jsonl", GOOD + b'{"text": ["a"]}\n', ["好的文字"], (2, 1, 0, 1), "text_not_a_string"),
        ("no_key.jsonl", GOOD + b'{"body": "a"}\n', ["好的文字"], (2, 1, 0, 1), "no_text_column"),
        ("ragged.csv", "text,n\n好的,1\n坏的\n".encode(), ["好的"], (2, 1, 0, 1), "ragged"),
        ("quote.csv", 'text,n\n"坏的,1\n好的,2\n'.encode(), ["好的"], (2, 1, 0, 1), "unclosed_quote"),
        ("field.csv", ("text,n\n" + "好" * 200_000 + ",1\n").encode(), ["好" * 200_000], (1, 1, 0, 0), None),
        ("zst_named.txt.gz", pa.compress("好的".encode(), "zstd", asbytes=True), ["好的"], (1, 1, 0, 0), None),
        ("special.txt", "[MASK]和[SEP]和[CLS]".encode(), ["[MASK]和[SEP]和[CLS]"], (1, 1, 0, 0), None),
        ("rare.txt", "𠮷野家😀\ue000".encode(), ["𠮷野家😀\ue000"], (1, 1, 0, 0), None),
        ("mixed_lines.jsonl", GOOD + GOOD.decode().encode("gb18030"), ["好的文字"] * 2, (2, 2, 0, 0), None),
        (
            "surrogate.txt",
            "今天很好\n坏\ud800\n还是很好".encode("utf-16-le", "surrogatepass"),
            ["今天很好\n还是很好"],
            (2, 0, 1, 1),
            "undecodable",
        ),
        ("infinity.jsonl", GOOD + b'{"text": "a", "x": -Infinity}\n', ["好的文字"], (2, 1, 0, 1), "invalid_json"),
        (
            "digits.jsonl",
            GOOD + b'{"text": "a", "x": ' + b"9" * 5000 + b"}\n",
            ["好的文字"],
            (2, 1, 0, 1),
            "invalid_json",
        ),
        (
            "quotes.csv",
            'text,n\n"坏的,1\n好的,2\n"也好",3\n'.encode(),
            ["好的", "也好"],
            (3, 2, 0, 1),
            "unclosed_quote",
        ),
        ("quote.tsv", 'text\tn\n"他说\t1\n好的\t2\n'.encode(), ['"他说', "好的"], (2, 2, 0, 0), None),
        ("old_mac.txt", "第一段\r第二段\r".encode(), ["第一段\n第二段"], (1, 0, 1, 0), None),
        ("code.md", b"```\nx = 1\n```\n", [], (1, 1, 0, 0), None),
        ("empty.txt", b"", [], (0, 0, 0, 0), None),
        ("spaces.txt", " \n\u3000\n\t".encode(), [], (0, 0, 0, 0), None),
        ("html.txt", b"<b>[red]</b>[/INST] ok", ["[red][/INST] ok"], (1, 0, 1, 0), None),
    ],
)
def test_bad_input_has_one_outcome_for_each_record(build, name, content, texts, outcomes, reason):
    built = build({name: content})
    assert built.texts == texts
    (counts,) = built.counts
    assert outcome(counts) == outcomes
    assert counts["files"] == {name: {key: counts[key] for key in ("seen", "used", "repaired", "quarantined")}}
    assert list(counts["reasons"]) == ([reason] if reason else [])
    assert len(built.quarantine) == counts["quarantined"]
    for row in built.quarantine:
        assert set(row) == {"file", "line", "byte_offset", "reason", "excerpt"}
        assert row["file"] == name
        assert len(row["excerpt"]) < 2000


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("a.jsonl", '{"text": "', '"}'), ("a.csv", "text,n\n", ",1"), ("a.tsv", "n\ttext\n1\t", "")],
)
def test_a_record_on_a_line_that_is_too_long_is_one_fault(build, monkeypatch, name, begin, end):
    monkeypatch.setattr(decode, "MAX_LINE_BYTES", 3000)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1000)
    good = {"a.jsonl": '{"text": "好的"}', "a.csv": "好的,1", "a.tsv": "1\t好的"}[name]
    built = build({name: f"{begin}{'长句。' * 2000}{end}\n{good}\n".encode()})
    assert built.texts == ["好的"]
    assert outcome(built.counts[0]) == (2, 1, 0, 1)
    assert built.counts[0]["reasons"] == {"line_too_long": 1}
    assert "长句。长句。" in built.quarantine[0]["excerpt"]


@pytest.mark.parametrize("format_", ["txt_blank_line", "txt_file", "tagged_words"])
def test_a_document_that_is_too_long_comes_in_pieces_and_loses_nothing(build, monkeypatch, format_):
    monkeypatch.setattr(running_text, "MAX_DOCUMENT_CHARACTERS", 100)
    lines = [f"第{number}行的文字。" for number in range(60)]
    built = build({"a.txt": "\n".join(lines).encode()}, format=format_)
    assert len(built.rows) > 4
    assert "".join(built.texts).replace("\n", "") == "".join(lines)
    assert max(map(len, built.texts)) <= 110
    if format_ != "tagged_words":  # its pieces are articles, as any others
        assert built.counts[0]["repairs"] == {"long_document": len(built.rows)}
    assert [row["line"] for row in built.rows] == sorted({row["line"] for row in built.rows})


def test_a_quote_that_never_closes_does_not_gather_the_file(build, monkeypatch):
    from bert_core.corpus import tables

    monkeypatch.setattr(tables, "MAX_LINE_BYTES", 50)  # what one row may gather, characters
    rows = "".join(f'{"很长的文字" * 4} "引用",{number}\n' for number in range(20))
    built = build({"a.csv": f'text,n\n"坏的,1\n{rows}'.encode()})
    assert outcome(built.counts[0]) == (21, 20, 0, 1)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_bomb_of_256_mib_is_refused_in_bounded_memory(tmp_path: Path, kind: str):
    bomb = gzip.compress(bytes(256 << 20), 9) if kind == "gz" else pa.compress(bytes(256 << 20), "zstd", asbytes=True)
    (tmp_path / f"a.txt.{kind}").write_bytes(bomb)
    rc, said, peak = read_apart(tmp_path, f"a.txt.{kind}", "auto")
    assert (rc, "refused as a decompression bomb" in said) == (2, True), said
    assert peak < 400 << 20


def test_a_zstd_frame_that_asks_for_a_window_of_2_gib_is_refused(build):
    block = (5 << 3 | 1).to_bytes(3, "little") + b"12345"  # one raw block, the last
    window = 21 << 3  # 2 ** (10 + 21) bytes
    with pytest.raises(CorpusError, match=r"a\.txt\.zst: zstd data is cut off or damaged"):
        build({"a.txt.zst": b"\x28\xb5\x2f\xfd" + bytes([0, window]) + block})


ONE_LINE = """
import sys, threading, time
from pathlib import Path

from bert_core.config import CorpusConfig
from bert_core.corpus.documents import build_slice
from bert_core.corpus.slices import plan_slices
from bert_core.errors import CorpusError

folder, name, format_ = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
config = CorpusConfig(paths=[name], format=format_, max_bad_fraction=1.0)
code, peak = 0, 0


def look():
    global peak
    while True:  # mapped pages of the file are no memory that is held
        status = Path("/proc/self/status").read_text()
        peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]) << 10)
        time.sleep(0.02)


threading.Thread(target=look, daemon=True).start()
try:
    for number, piece in enumerate(plan_slices(config, folder)):
        (folder / f"out-{number}").mkdir()
        counts = build_slice(piece, config, folder / f"out-{number}")
        print({key: counts[key] for key in ("seen", "repaired", "quarantined", "reasons", "repairs", "characters")})
except CorpusError as error:
    print(error)
    code = error.exit_code
print(peak)
raise SystemExit(code)
"""


def read_apart(folder: Path, name: str, format_: str) -> tuple[int, str, int]:
    """Read a file in a process of its own: its exit code, what it says, and its peak memory in bytes."""
    command = [sys.executable, "-c", ONE_LINE, str(folder), name, format_]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    said, _, peak = done.stdout.strip().rpartition("\n")
    return done.returncode, said + done.stderr, int(peak or 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_", "begin", "outcomes"),
    [
        ("txt_line", "", "'seen': 60, 'repaired': 60, 'quarantined': 0"),
        ("txt_blank_line", "", "'seen': 60, 'repaired': 60, 'quarantined': 0"),
        ("tagged_words", "", "'quarantined': 0"),
        ("markdown", "", "'quarantined': 0"),
        ("jsonl", '{"text": "', "'seen': 1, 'repaired': 0, 'quarantined': 1, 'reasons': {'line_too_long': 1}"),
        ("csv", 'text,n\n"', "'seen': 1, 'repaired': 0, 'quarantined': 1, 'reasons': {'line_too_long': 1}"),
    ],
)
def test_a_line_of_1_gb_is_read_in_bounded_memory(tmp_path: Path, format_: str, begin: str, outcomes: str):
    sentence = "这是一行没有换行的文字，一直写下去。".encode()
    with (tmp_path / "a.txt").open("wb") as file:
        file.write(begin.encode())
        for _ in range(1000):
            file.write(sentence * (1_000_000 // len(sentence) + 1))
    rc, said, peak = read_apart(tmp_path, "a.txt", format_)
    (tmp_path / "a.txt").unlink()
    assert (rc, outcomes in said) == (0, True), said
    assert 0 < peak < 800 << 20, said


FLIPS = """
import random, sys
from pathlib import Path

from bert_core.corpus.columnar import open_columns
from bert_core.errors import CorpusError

path, kind = Path(sys.argv[1]), sys.argv[2]
whole = path.read_bytes()
for seed in range(150):
    draw = random.Random(seed)
    flipped = bytearray(whole)
    flipped[draw.randrange(900 if seed % 2 else len(whole))] ^= 1 << draw.randrange(8)
    path.write_bytes(flipped)
    try:
        names, batches = open_columns(path, kind, "text")
        texts = list(batches) if "text" in names else []
    except CorpusError:
        pass
print("done")
"""


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_flipped_bits_of_a_columnar_file_never_end_the_process(tmp_path: Path, kind: str):
    import pyarrow.parquet as parquet

    table = pa.table({"text": [f"第{number}条" * (number % 7) for number in range(2000)], "n": list(range(2000))})
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        parquet.write_table(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=500)
    command = [sys.executable, "-c", FLIPS, str(path), kind]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.parametrize(
    "pattern",
    [
        "package://json//etc/passwd",
        "package://json/../os.py",
        "package://json/tool.py/../../os.py",
        "package://../x",
        "file:///etc/passwd",
        "local:///etc/passwd",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(tmp_path: Path, pattern: str):
    with pytest.raises(CorpusError, match=r"expected|not installed"):
        resolve_paths([pattern], tmp_path)


@pytest.mark.parametrize("name", [b"a\xff.txt", b"a\nb.txt", b"a\x1b[31m.txt"])
def test_a_file_name_that_is_no_printable_text_is_refused_and_shown_escaped(tmp_path: Path, name: bytes):
    (tmp_path / "raw").mkdir()
    with open(os.path.join(os.fsencode(tmp_path / "raw"), name), "wb") as file:
        file.write(b"text")
    with pytest.raises(CorpusError, match="rename it") as caught:
        plan_slices(CorpusConfig(paths=["raw"]), tmp_path)
    assert str(caught.value).isprintable()


def test_what_is_no_file_is_left_out_and_a_ring_of_links_ends(tmp_path: Path):
    (tmp_path / "raw" / "deep").mkdir(parents=True)
    (tmp_path / "raw" / "a.txt").write_text("文字")
    (tmp_path / "raw" / "deep" / "ring").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "raw" / "pipe.txt")
    assert [file.name for file in resolve_paths(["raw"], tmp_path)] == ["raw/a.txt"]
    found = resolve_paths(["raw/**/*.txt"], tmp_path)  # a glob follows links to folders; each file comes once by name
    assert "raw/a.txt" in [file.name for file in found]
    assert all(file.path.is_file() for file in found)
