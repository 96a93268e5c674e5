"""The parts of a recipe about text: corpora, vocabulary, words, and how documents become masked examples."""

from typing import Literal

from pydantic import Field, model_validator

from bert_core.config.part import Fraction, Name, Part

CorpusFormat = Literal[
    "auto",
    "txt_blank_line",
    "txt_line",
    "txt_file",
    "markdown",
    "jsonl",
    "csv",
    "tsv",
    "tagged_words",
    "parquet",
    "arrow",
]
CleaningRule = Literal["markup", "line_ends", "control_characters", "whitespace", "repeated_lines"]
Objective = Literal["nsp", "sop", "none"]


class CorpusConfig(Part):
    """Raw text: where it lies, how it is read, which repairs and filters it passes."""

    paths: list[str] = Field(min_length=1)
    """Files, folders or globs, read in the order given; also behind `s3://`, `gs://`, `az://` (folders and globs) and
    `https://` (single files), credentials from the environment; `package://NAME/file` names a file inside an
    installed Python package. `.gz` and `.zst` are read as they are."""
    format: CorpusFormat = "auto"
    """How records and document boundaries are found; `auto` goes by the file's extension (.txt is txt_blank_line).
    Documents end at blank lines (txt_blank_line), at each line (txt_line, jsonl), row (csv, tsv, parquet, arrow), file
    (txt_file, markdown), or article of tagged paragraphs (tagged_words)."""
    text_column: str = "text"
    """Column or key that holds the text (jsonl, csv, tsv, parquet, arrow)."""
    encoding: str = "auto"
    """`auto` finds the encoding of each file; or a codec name such as gb18030."""
    unicode_form: Literal["none", "nfc", "nfkc"] = "nfc"
    """Unicode normal form that the text is brought into."""
    half_width: bool = True
    """Full-width letters and digits become ASCII ones (１９９８ -> 1998); Chinese punctuation stays."""
    script: Literal["keep", "simplified"] = "keep"
    """simplified turns traditional Chinese into simplified, word by word (OpenCC, t2s). Labelled texts, and those given
    to `bertline predict`, keep their script and punctuation."""
    punctuation: Literal["keep", "corner", "ascii"] = "keep"
    """What becomes of “ ” ‘ ’ — ― – …, none of which Google's Chinese vocabulary has: keep, or dashes and dots become
    `-` and `...`, and quotes 「 」 『 』 (corner, which it has; sentences are cut as before) or `"` and `'` (ascii)."""
    skip_rules: list[CleaningRule] = Field(default_factory=list)
    """Rules of cleaning that are left out; all run, and are counted, by default."""
    min_characters: int = Field(default=2, ge=1)
    """Documents with fewer characters after cleaning are dropped and counted, characters."""
    max_characters: int = Field(default=1_000_000, ge=100)
    """Longer documents are cut at sentence ends into several, characters."""
    min_han_share: Fraction = 0.0
    """Documents with a smaller share of Han among their letters are dropped, 0 to 1."""
    deduplicate: Literal["none", "exact", "near"] = "exact"
    """exact keeps the first of the documents whose normalised text is equal; near also leaves out those that are as
    similar as `near_similarity` to an earlier one that is kept; none keeps all."""
    near_similarity: float = Field(default=0.8, gt=0.5, le=1.0)
    """near only: share of the 5-character runs of two documents that both have (Jaccard index), 0.5 to 1."""
    max_bad_fraction: Fraction = 0.01
    """The run stops when a larger share of a file's records is unreadable, 0 to 1."""


class GrowthConfig(Part):
    """Frequent words of a domain that the starting model cuts into pieces become entries of their own."""

    corpora: list[Name] = Field(min_length=1)
    """Corpora whose words are counted."""
    max_entries: int = Field(default=1_000, ge=1, le=30_000)
    """Most new entries, the most frequent first."""
    min_count: int = Field(default=20, ge=2)
    """A word must occur so often to become an entry."""


class VocabularyConfig(Part):
    """A WordPiece vocabulary: read from a file, taken from the starting model, or trained."""

    path: str | None = None
    """A vocab.txt; where empty, the vocabulary of `model.start`, else one is trained."""
    corpora: list[Name] = Field(default_factory=list)
    """Corpora to train on; where empty, every corpus of the recipe."""
    size: int = Field(default=8_000, ge=200, le=65_535)
    """Entries of a trained vocabulary, special ones included."""
    lowercase: bool = True
    """Fold letters to lower case, as bert-base-chinese does."""
    strip_accents: bool | None = None
    """Strip accents (é -> e); empty to strip them where letters are folded."""
    growth: GrowthConfig | None = None
    """Append words of a domain to the vocabulary of `model.start`, their vectors begun at the mean of their pieces.
    Words are what BERT cuts text into before WordPiece: runs of letters, single Han characters. Empty for none."""


class WordsConfig(Part):
    """Word and entity boundaries for the masking policies that need them."""

    segmenter: Literal["none", "rjieba"] = "rjieba"
    """Finds words in Chinese text; `none` makes every Han character a word."""
    lexicons: list[str] = Field(default_factory=list)
    """Files with one entry a line (anything after a tab is ignored), matched as entities."""


class MaskingConfig(Part):
    """Which tokens are hidden, drawn anew in every epoch when a batch is read."""

    policy: Literal["token", "whole_word", "ngram", "span", "entity", "similar_word"] = "whole_word"
    """token (Devlin et al. 2019), whole_word (Cui et al. 2021), ngram of words, span (SpanBERT), entity (ERNIE 1.0),
    similar_word (MacBERT: words chosen as by ngram, a similar word in place of [MASK])."""
    mlm_probability: float = Field(default=0.15, gt=0.0, le=0.5)
    """Share of the maskable tokens to predict; at least one in each example, 0 to 0.5."""
    mask_share: Fraction = 0.8
    """Share of the predicted tokens that become [MASK], or a similar word under similar_word, 0 to 1."""
    random_share: Fraction = 0.1
    """Share of the predicted tokens that become a random token; the rest is kept, 0 to 1."""

    thesaurus: str | None = None
    """similar_word only: a file of similar words in the shape of the extended Cilin, a group a line:
    `Aa01A02= 人类 生人 全人类`; `package://NAME/file` names a file inside an installed Python package."""

    @model_validator(mode="after")
    def _thesaurus_is_read(self) -> "MaskingConfig":
        if (self.policy == "similar_word") != (self.thesaurus is not None):
            said = "is empty; name a file of similar words" if self.thesaurus is None else f"is {self.thesaurus!r}"
            raise ValueError(f"thesaurus {said}: policy similar_word needs one, {self.policy} is the policy")
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> "MaskingConfig":
        if self.mask_share + self.random_share > 1.0 + 1e-9:
            raise ValueError(
                f"mask_share + random_share is {self.mask_share + self.random_share:g}, expected at most 1"
            )
        return self


class AuditConfig(Part):
    """Thresholds that built examples must hold, else their stage fails; each set, train and held out, by itself.

    Not to be set: labels 0 and 1 differ by one pair at most, no negative is from its own document, no id repeats.
    """

    max_unknown_share: Fraction = 0.2
    """Of the tokens of text, how many may be [UNK], 0 to 1; a warning stands from 0.01 on."""
    max_duplicate_share: Fraction = 0.4
    """Of the examples of one round, how many may repeat another one, 0 to 1; a warning stands from 0.01 on."""
    min_fill: Fraction = 0.0
    """Mean length over the longest one, 0 to 1; a warning stands below 0.5."""
    min_segmenter_coverage: Fraction = 0.0
    """Of the Han tokens, how many must stand in words of several tokens, 0 to 1; a warning stands below 0.2."""
    max_mask_rate_error: Fraction = 0.1
    """How far the share that a policy really hides may lie from the share asked for, 0 to 1; a warning stands from
    0.02 on."""


class ExamplesConfig(Part):
    """How documents become pretraining examples."""

    max_tokens: int = Field(default=128, ge=16, le=512)
    """Longest example with its special tokens, tokens."""
    short_sequence_probability: Fraction = 0.1
    """Share of examples built to a random shorter length (Devlin et al. 2019), 0 to 1."""
    objective: Objective = "nsp"
    """What is predicted of a pair: nsp, whether B follows A or comes from another document (Devlin et al. 2019); sop,
    whether two neighbours stand in order or are swapped (Lan et al. 2020); none packs whole sentences for MLM alone."""
    pairing_rounds: int = Field(default=1, ge=1, le=64)
    """How many times pairs are drawn anew; epoch e reads round e mod rounds."""
    held_out_fraction: float = Field(default=0.02, ge=0.0, le=0.5)
    """Share of the documents kept for evaluation and never trained on, 0 to 0.5."""
    audit: AuditConfig = Field(default_factory=AuditConfig)
    """Thresholds that the built examples must hold."""
