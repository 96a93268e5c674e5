"""Encodings are found from ten characters, lines end at line feeds only, bad lines do not take others with them."""

import gzip
import json
from pathlib import Path

import numpy as np
import opencc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus import decode, streams
from bert_core.corpus.decode import common_share, detect_encoding, encoding_of_file, read_lines
from bert_core.errors import CorpusError

TEXT = "今天的天气很好。\n我在公山下看水。\n\n明日再去"
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def lines_of(path: Path, content: bytes, **settings) -> list[tuple[int, int, str | None]]:
    path.write_bytes(content)
    return [(line.number, line.byte_offset, line.text) for line in read_lines(path, **settings)]


@pytest.mark.parametrize(
    ("codec", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("gb18030", "gb18030"),
        ("gbk", "gb18030"),
        ("gb2312", "gb18030"),
        ("big5", "big5"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32-le"),
    ],
)
def test_lines_are_read_whatever_the_encoding(tmp_path: Path, codec: str, found: str):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode(codec))
    lines = list(read_lines(path))
    assert [line.text for line in lines] == TEXT.split("\n")
    assert [line.number for line in lines] == [1, 2, 3, 4]
    assert {line.encoding for line in lines} == {found}
    for line in lines:  # the offsets point at the line's bytes
        assert path.read_bytes()[line.byte_offset :].startswith((line.text or "").encode(found))
    assert [line.text for line in read_lines(path, codec)] == TEXT.split("\n")


def test_the_common_characters_are_the_first_levels_of_gb2312_and_big5():
    values = decode._character_values()
    assert values[ord("的")] == values[ord("啊")] == values[ord("座")] == 2  # first and last of GB 2312 level 1
    assert values[ord("這")] == values[ord("籲")] == 2  # the last of Big5 level 1
    assert values[ord("亍")] == 0  # first of GB 2312 level 2, not in Big5 level 1
    assert common_share("ab，的亍") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Le garçon a été très étonné de voir l'été à la fenêtre", "latin-1"),
        ("日本語のテキストはこのように書かれています。文字コードの判定", "shift_jis"),
        ("Обнаружение кодировки русского текста", "windows-1251"),
    ],
)
def test_text_of_other_languages_is_not_taken_for_chinese(text: str, codec: str):
    found = detect_encoding(text.encode(codec))
    assert not found.startswith(("gb", "big5", "utf"))


def test_a_cut_last_character_does_not_hide_the_encoding():
    for codec in ("utf-8", "gb18030", "big5", "utf-16-le"):
        assert detect_encoding("今天的天氣好大".encode(codec)[:-1]) == codec


SIMPLIFIED = """清晨的菜市场里人声嘈杂，卖豆腐的老板一边切豆腐，一边和熟客谈论昨晚的足球比赛。隔壁修鞋的师傅戴着老花镜，
低头给一双旧皮鞋换底。学校门口，几个孩子追着一只花猫跑进了小巷。图书馆的管理员把归还的书籍按照编号放回书架，
又在登记簿上写下日期。下午，气象台发布了暴雨预警，渔民们赶紧把船拖进港湾。医院的走廊里，护士推着药车挨个病房查看，
提醒病人按时吃药。工程师检查了大桥的钢索，认为还需要再加固两处接头。晚饭后，邻居们搬出竹椅在院子里乘凉，
有人拉起二胡，有人轻声唱戏。山那边的茶园今年收成不错，收购价格比去年高了一成。火车缓缓驶过平原，
窗外是一片望不到边的麦田。编辑把稿件退了回来，要求作者补充三个例子。法庭认定合同有效，被告应当支付货款。"""

TRADITIONAL = """清晨的菜市場裡人聲嘈雜，賣豆腐的老闆一邊切豆腐，一邊和熟客談論昨晚的足球比賽。隔壁修鞋的師傅戴著
老花鏡，
低頭給一雙舊皮鞋換底。學校門口，幾個孩子追著一隻花貓跑進了小巷。圖書館的管理員把歸還的書籍按照編號放回書架，
又在登記簿上寫下日期。下午，氣象台發布了暴雨預警，漁民們趕緊把船拖進港灣。醫院的走廊裡，護士推著藥車挨個病房查看，
提醒病人按時吃藥。工程師檢查了大橋的鋼索，認為還需要再加固兩處接頭。晚飯後，鄰居們搬出竹椅在院子裡乘涼，
有人拉起二胡，有人輕聲唱戲。山那邊的茶園今年收成不錯，收購價格比去年高了一成。火車緩緩駛過平原，
窗外是一片望不到邊的麥田。編輯把稿件退了回來，要求作者補充三個例子。法庭認定合約有效，被告應當支付貨款。"""


def num_right_of_60(text: str, codec: str) -> int:
    """Count excerpts of ten characters that are decoded as they were encoded."""
    starts = np.linspace(0, len(text) - 10, 60).astype(int).tolist()
    excerpts = [text[start : start + 10] for start in starts]
    raws = [excerpt.encode(codec) for excerpt in excerpts]
    return sum(raw.decode(detect_encoding(raw), "replace") == text for raw, text in zip(raws, excerpts, strict=True))


@pytest.mark.parametrize("codec", ["gb18030", "gbk", "big5", "utf-16-le"])
def test_ten_characters_tell_the_encoding_in_59_of_60_excerpts(codec: str):
    text = TRADITIONAL if codec == "big5" else SIMPLIFIED
    assert num_right_of_60(text.replace("\n", ""), codec) >= 59


@pytest.mark.parametrize("codec", ["gb18030", "gbk", "big5", "utf-16-le"])
def test_ten_characters_of_real_text_tell_the_encoding_in_59_of_60_excerpts(codec: str):
    source = DATA / "tasks" / "qa" / "cmrc2018" / "cmrc2018_dev.json"
    if not source.exists():
        pytest.skip("shared/data is not beside the checkout")
    articles = json.loads(source.read_text(encoding="utf-8"))["data"]
    contexts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    if codec == "big5":  # as its writers write
        contexts = [opencc.OpenCC("s2t").convert(context) for context in contexts[::80]]
    contexts = [context.encode(codec, "ignore").decode(codec) for context in contexts]
    right = [num_right_of_60(context, codec) for context in contexts[:10]]
    assert sum(right) >= 590  # of 600


def test_lines_end_at_line_feeds_only(tmp_path: Path):
    text = "一\u2028二\x85三\x0c四\x1e五\r\n六\r七\n"
    assert lines_of(tmp_path / "a", text.encode()) == [
        (1, 0, "一\u2028二\x85三\x0c四\x1e五"),
        (2, 24, "六\r七"),
    ]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_file_without_text_has_no_lines(tmp_path: Path, content: bytes):
    assert lines_of(tmp_path / "a", content) == []


def test_a_file_of_mixed_encodings_is_read_line_by_line(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes("今天天气很好\n".encode() + "我们去公园玩\n".encode("gbk") + b"abc\xff\xfe\n" + "好的\n".encode())
    assert [(line.text, line.encoding) for line in read_lines(path)] == [
        ("今天天气很好", "utf-8"),
        ("我们去公园玩", "gb18030"),
        (None, "utf-8"),
        ("好的", "utf-8"),
    ]
    path.write_bytes("今天天气很好\n".encode("gbk") * 3 + "我们去公园玩\n".encode())
    assert [(line.text, line.encoding) for line in read_lines(path)][2:] == [
        ("今天天气很好", "gb18030"),
        ("我们去公园玩", "utf-8"),
    ]


def test_one_bad_byte_loses_one_line(tmp_path: Path):
    good = [f"第{number}行的文字是好的" for number in range(100)]
    raw = [text.encode() for text in good]
    raw[40] = raw[40][:7] + b"\xff" + raw[40][7:]
    path = tmp_path / "a"
    path.write_bytes(b"\n".join(raw))
    lines = list(read_lines(path))
    assert [line.text for line in lines] == [None if number == 40 else text for number, text in enumerate(good)]
    assert lines[40].fault == "not valid utf-8 nor any other encoding"
    assert lines[40].number == 41
    assert lines[40].excerpt.startswith(r"\xe7\xac\xac40\xe8\xa1\xff")


def test_a_named_encoding_is_strict(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes("你好啊\n".encode("gbk") + "你好啊".encode())
    faults = [(line.text, line.fault) for line in read_lines(path, "utf-8")]
    assert faults == [(None, "not valid utf-8"), ("你好啊", None)]
    with pytest.raises(CorpusError, match="'utf-9': no such codec"):
        list(read_lines(path, "utf-9"))


@pytest.mark.parametrize("encoding", ["auto", "utf-16"])
def test_a_compressed_file_keeps_its_byte_order(tmp_path: Path, encoding: str):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"\xfe\xff" + TEXT.encode("utf-16-be")))
    assert [line.text for line in read_lines(path, encoding)] == TEXT.split("\n")


def test_a_range_is_read_with_the_numbers_of_the_file(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes("甲\n乙\n丙\n丁\n".encode())
    lines = [(line.number, line.byte_offset, line.text) for line in read_lines(path, "auto", 8, 4, 3)]
    assert lines == [(3, 8, "丙")]


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "big5", "utf-16-le"])
def test_a_line_too_long_is_cut_at_sentence_ends_and_flagged(tmp_path: Path, monkeypatch, codec: str):
    monkeypatch.setattr(decode, "MAX_LINE_BYTES", 3000)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1000)
    text = "今天我在山下看水。" * 600
    path = tmp_path / "a"
    path.write_bytes(text.encode(codec) + "\n好".encode(codec))
    lines = list(read_lines(path, codec))
    long, last = lines[:-1], lines[-1]
    assert "".join(line.text or "" for line in long) == text
    assert len(long) > 2
    assert all((line.text or "").endswith("。") and line.number == 1 for line in long)
    assert all(line.fault is not None for line in long)
    assert (last.text, last.number, last.fault) == ("好", 2, None)
    for line in lines:
        assert path.read_bytes()[line.byte_offset :].startswith((line.text or "").encode(codec))


def test_a_line_without_sentence_marks_is_cut_between_characters(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_LINE_BYTES", 3000)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1000)
    path = tmp_path / "a"
    path.write_bytes(("山" * 5000).encode())
    lines = list(read_lines(path, "utf-8"))
    assert "".join(line.text or "" for line in lines) == "山" * 5000


def test_samples_come_from_head_middle_and_tail(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"plain ascii line\n" * 40_000 + "我们去公园玩\n".encode("gbk") * 3)
    assert encoding_of_file(path) == "gb18030"
    assert list(read_lines(path))[-1].text == "我们去公园玩"


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r\ufeff"), max_size=20), min_size=1, max_size=12
    ),
    st.sampled_from(["utf-8", "gb18030", "utf-16-le", "utf-16-be"]),
)
def test_every_line_comes_back_from_every_encoding(tmp_path_factory, texts: list[str], codec: str):
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes("\n".join(texts).encode(codec))
    read = [line.text for line in read_lines(path, codec)]
    assert read == (texts if texts[-1] else texts[:-1])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(tmp_path_factory, content: bytes):
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes(content)
    try:
        lines = list(read_lines(path))
    except CorpusError:  # begins like a compressed or a binary file
        return
    assert all((line.text is None) == (line.fault is not None) for line in lines)
