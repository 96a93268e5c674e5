"""Each rule repairs what it says, names itself, and leaves nothing to a second cleaning."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import CorpusConfig
from bert_core.corpus.clean import clean, document_id, han_share, normalise
from bert_core.corpus.sentences import split_sentences

DEFAULTS = CorpusConfig(paths=["a"])


@pytest.mark.parametrize(
    ("text", "cleaned", "rules"),
    [
        ("今天天气很好，abc 123。\n第二段", "今天天气很好，abc 123。\n第二段", []),
        ("１９９８年Ａｂｃ，（好）", "1998年Abc，（好）", ["half_width"]),
        ("e\u0301", "é", ["unicode_form"]),
        ("<p>一</p><b class='x'>二</b><br/>三", "一\n二\n三", ["markup", "whitespace"]),
        ("a &lt; b &amp;&amp; c &#20013; &nbsp;d", "a < b && c 中 d", ["markup", "whitespace"]),
        ("<script>var a = '<b>';</script>正文<!-- 注\n释 -->", "正文", ["markup"]),
        ("《<红楼梦>》 a<b and c>d <张三>", "《<红楼梦>》 a<b and c>d <张三>", []),
        ("一\r\n二\r三\u2028四\x0c五", "一\n二\n三\n四\n五", ["line_ends"]),
        ("一\u200b二\ufeff三\x00四\x07", "一二三四", ["control_characters"]),
        ("\x1b[31m红\x1b[0m", "红", ["control_characters"]),
        ("半个\ud83d字", "半个\ufffd字", ["lone_surrogates"]),
        ("　　一  二\t三 \n\n\n 四　", "一 二 三\n四", ["whitespace"]),
        ("导航\n导航\n导航\n正文\n导航", "导航\n正文\n导航", ["repeated_lines"]),
        ("&amp;lt;b&amp;gt;粗", "粗", ["markup"]),
        ("e&#8203;\u0301", "é", ["unicode_form", "markup", "control_characters"]),
        ("", "", []),
        (" \n\u3000", "", ["whitespace"]),
        ("[MASK]和[SEP]留着", "[MASK]和[SEP]留着", []),
        ("生僻字𠮷😀", "生僻字𠮷😀", []),
    ],
)
def test_rules_repair_and_name_themselves(text: str, cleaned: str, rules: list[str]):
    assert clean(text, DEFAULTS) == (cleaned, rules)


def test_settings_turn_rules_off_and_on():
    text = "１ ﬁ e\u0301"
    assert clean(text, DEFAULTS.model_copy(update={"half_width": False}))[0] == "１ ﬁ é"
    assert clean(text, DEFAULTS.model_copy(update={"unicode_form": "none"}))[0] == "1 ﬁ e\u0301"
    assert clean(text, DEFAULTS.model_copy(update={"unicode_form": "nfkc"}))[0] == "1 fi é"


AWKWARD = st.text(
    st.one_of(
        st.sampled_from("&;<>/=-!#ab1 \n\r\t１Ａ，。　\u200b\u0301\ufeff\x00\x1b[m\x85\u2028\ud800\udc00"),
        st.characters(),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(AWKWARD, st.sampled_from(["none", "nfc", "nfkc"]), st.booleans())
def test_cleaning_twice_changes_nothing(text: str, form: str, half_width: bool):
    config = CorpusConfig(paths=["a"], unicode_form=form, half_width=half_width)  # type: ignore[arg-type]
    cleaned, rules = clean(text, config)
    assert clean(cleaned, config) == (cleaned, [])
    assert (cleaned != text) == bool(rules)
    cleaned.encode()  # no lone surrogate is left
    assert not set(cleaned) & set("\r\t\x00\x85\u2028\u200b\ufeff")
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert "\n\n" not in cleaned


@pytest.mark.parametrize(
    ("text", "share"), [("中文", 1.0), ("中文ab", 0.5), ("ab", 0.0), ("123，。", 0.0), ("", 0.0), ("中1，文𠮷", 1.0)]
)
def test_the_share_of_han_is_among_letters(text: str, share: float):
    assert han_share(text) == share


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ｈello， 世界！", "hello 世界"),
        ("今天\n天气。好", "今天天气好！"),
        ("①", "1"),
        ("ﾊﾞ", "バ"),
        ("CAFE\u0301", "café"),
    ],
)
def test_texts_that_differ_in_form_alone_share_an_id(one: str, other: str):
    assert normalise(one) == normalise(other)
    assert document_id(one) == document_id(other)


def test_ids_are_stable_and_tell_texts_without_letters_apart():
    assert document_id("今天天气好") == document_id("今天，天气好。") == 4141671654214220622
    assert document_id("！！！") != document_id("？？？")
    assert 0 <= document_id("") < 2**64


@settings(max_examples=300)
@given(AWKWARD)
def test_the_normal_form_is_that_of_unicode_without_what_is_no_letter(text: str):
    slow = "".join(character for character in unicodedata.normalize("NFKC", text).lower() if character.isalnum())
    assert normalise(text) == slow


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("markup", "<b>好</b>"),
        ("line_ends", "好\u2028天"),
        ("control_characters", "好\u200b天"),
        ("whitespace", "好  天"),
        ("repeated_lines", "好\n好"),
    ],
)
def test_a_rule_that_is_skipped_changes_nothing_and_is_not_counted(rule, text):
    cleaned, rules = clean(text, DEFAULTS)
    assert cleaned != text
    assert rule in rules
    # U+2028 is white space to the rule after it, so both are skipped there.
    skipped = [rule, "whitespace"] if rule == "line_ends" else [rule]
    assert clean(text, DEFAULTS.model_copy(update={"skip_rules": skipped})) == (text, [])


@pytest.mark.parametrize(
    ("chosen", "text", "cleaned", "rules"),
    [
        ({"punctuation": "corner"}, "他说：“‘好’吧……”——it’s", "他说：「『好』吧......」--it's", ["punctuation"]),
        ({"punctuation": "ascii"}, "他说：“‘好’吧…”–it’s", "他说：\"'好'吧...\"-it's", ["punctuation"]),
        ({"punctuation": "ascii"}, "&ldquo;好&rdquo;", '"好"', ["markup", "punctuation"]),
        ({}, "他说：“好”——臺灣", "他说：“好”——臺灣", []),
        ({"script": "simplified"}, "乾隆皇帝只有著名的頭髮", "乾隆皇帝只有著名的头发", ["script"]),
        ({"script": "simplified"}, "臺灣\n台湾", "台湾", ["script", "repeated_lines"]),
        ({"script": "simplified"}, "\ud800繁體", "\ufffd繁体", ["lone_surrogates", "script"]),
        ({"script": "simplified"}, "简体", "简体", []),
    ],
)
def test_punctuation_and_script_are_changed_by_choice_and_counted(chosen, text, cleaned, rules):
    config = CorpusConfig(paths=["a"], **chosen)
    assert clean(text, config) == (cleaned, rules)
    assert clean(cleaned, config) == (cleaned, [])


def test_traditional_text_becomes_simplified_by_words():
    config = CorpusConfig(paths=["a"], script="simplified")
    assert (
        clean("這個問題還沒有結論，請說說您對開發環境與網絡的認識。", config)[0]
        == "这个问题还没有结论，请说说您对开发环境与网络的认识。"
    )


def test_corner_quotes_leave_sentences_as_they_were_cut():
    text = "他说：“好。”她走了。“再见！”他喊。"
    corner = clean(text, CorpusConfig(paths=["a"], punctuation="corner"))[0]
    assert [len(sentence) for sentence in split_sentences(corner)] == [len(part) for part in split_sentences(text)]


def test_blank_lines_are_no_repeated_lines():
    config = CorpusConfig(paths=["a.txt"], skip_rules=["whitespace"])
    assert clean("甲\n\n\n乙\n乙", config) == ("甲\n\n\n乙", ["repeated_lines"])
