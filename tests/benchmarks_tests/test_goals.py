"""Goals of the comparison: found by work and peer, whatever the size of the peer's part."""

import pytest

from benchmarks.goals import goal_of


@pytest.mark.parametrize(
    ("work", "peer_name", "unit", "peer", "goal"),
    [
        ("documents to examples, zh", "LDDL rule, 2 processes, 8 MB", "MB/s", 1.0, 120.0),
        ("documents to examples, zh", "LDDL rule, 2 processes, 8 MB", "MB/cpu-s", 1.0, None),
        ("documents to examples, en", "google-research rule, 1 process, 2 MB", "MB/s", 1.0, 40.0),
        ("raw text to examples, en", "google-research rule, 1 process, 2 MB", "MB/s", 1.0, None),
        ("masking, whole_word", "collator, whole_word_mask", "examples/s", 5000.0, 80.0),
        ("masking, whole_word", "collator, token", "examples/s", 5000.0, None),
        ("examples on disk, zh", "google-research rule, 1 process, 2 MB", "B/token", 6.6, 3.0),
        ("examples on disk, zh, ours as zstd", "LDDL rule, 2 processes, 8 MB, as snappy", "B/token", 2.7, 2.0),
        ("examples on disk, zh, ours as lz4", "LDDL rule, 2 processes, 8 MB, as snappy", "B/token", 2.7, None),
        ("a second process: start-up", "none", "s", None, None),
    ],
)
def test_a_goal_belongs_to_work_and_peer(
    work: str, peer_name: str, unit: str, peer: float | None, goal: float | None
) -> None:
    assert goal_of(work, peer_name, unit, peer) == goal
