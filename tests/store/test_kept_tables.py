"""Tables between processes: made once, made again where their file is damaged or what they depend on changed."""

import numpy as np

from bert_core.store.kept_tables import cache_folder, kept_tables


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("BERTLINE_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "bertline"
    monkeypatch.setenv("BERTLINE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_tables_are_made_once_for_what_they_depend_on_and_again_after_damage(monkeypatch, tmp_path):
    monkeypatch.setenv("BERTLINE_CACHE", str(tmp_path / "cache"))
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(1000, dtype=np.uint16), "b": np.zeros(0, np.int8)}

    for _ in range(2):
        tables = kept_tables("name", "version 1", make)
        assert list(tables) == ["a", "b"]
        np.testing.assert_array_equal(tables["a"], np.arange(1000))
        assert tables["a"].dtype == np.uint16
    assert len(made) == 1
    (path,) = (tmp_path / "cache").iterdir()

    kept_tables("name", "version 2", make)
    assert len(made) == 2

    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(kept_tables("name", "version 1", make)["a"], np.arange(1000))
    assert len(made) == 5


def test_a_folder_that_cannot_be_made_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BERTLINE_CACHE", str(tmp_path / "file" / "cache"))
    assert kept_tables("name", "1", lambda: {"a": np.ones(2)})["a"].tolist() == [1.0, 1.0]
