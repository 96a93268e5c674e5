"""The ratio that each row of the comparison is to reach, by what is done and against whom.

A row without a goal stands for information. Goals of a size are absolute, in bytes a token, and are turned into the
ratio that they mean beside the peer's own figure. Nothing is measured here.
"""

GOOGLE, LDDL, RUN_MLM = "google-research rule, 1 process", "LDDL rule, 2 processes", "run_mlm recipe, num_proc 2"
TOKENIZERS = "tokenizers encode_batch_fast"

_RATIOS = {
    ("documents to examples, zh", GOOGLE): 200.0,
    ("documents to examples, zh", LDDL): 120.0,
    ("documents to examples, zh", RUN_MLM): 100.0,
    ("documents to examples, en", GOOGLE): 40.0,
    ("documents to examples, en", LDDL): 25.0,
    ("documents to examples, en", RUN_MLM): 15.0,
    ("raw text to examples, zh", GOOGLE): 100.0,
    ("tokenizing, zh, 1 thread", TOKENIZERS): 100.0,
    ("tokenizing, en, 1 thread", TOKENIZERS): 10.0,
    ("tokenizing, zh, 1 thread", "flash-tokenizer"): 3.0,
    ("tokenizing, zh, 1 thread", "blingfire"): 3.0,
    ("tokenizing, en, 1 thread", "flash-tokenizer"): 3.0,
    ("tokenizing, en, 1 thread", "blingfire"): 3.0,
    ("masking, token", "collator, token"): 100.0,
    ("masking, whole_word", "collator, whole_word_mask"): 80.0,
    ("masking, span", "collator, whole_word_mask"): 80.0,
    ("peak memory, zh, 606 MB", "bertline at 61 MB"): 0.95,  # flat within 5 %
}
_MAX_BYTES_PER_TOKEN, _MAX_COMPRESSED_BYTES_PER_TOKEN = 2.2, 1.35
_ON_DISK = "examples on disk"


def goal_of(work: str, peer_name: str, unit: str, peer: float | None) -> float | None:
    """Return the ratio to reach, or None.

    Example: 6.6 B/token of a peer beside the goal of 2.2 gives 3; `MB/s` from documents beside LDDL on Chinese text
    gives 120, whatever the size of LDDL's part.

    Args:
        work: what is done.
        peer_name: who, followed by the size of its part.
        unit: rates per processor second have no goals.
        peer: the peer's figure.
    """
    if unit == "MB/cpu-s":
        return None
    if work.startswith(_ON_DISK) and peer:
        if " as lz4" in work:
            return None
        most = _MAX_COMPRESSED_BYTES_PER_TOKEN if " as zstd" in work else _MAX_BYTES_PER_TOKEN
        return float(f"{peer / most:.3g}")
    found = [goal for (named, who), goal in _RATIOS.items() if named == work and peer_name.startswith(who)]
    return found[0] if found else None
