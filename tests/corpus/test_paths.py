"""Files, folders, globs and package files get stable names; what is missing is named."""

from pathlib import Path

import pytest

from bert_core.corpus.paths import resolve_paths
from bert_core.errors import CorpusError


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("raw/b.txt", "raw/a.txt", "raw/deep/c.txt", "raw/.hidden/d.txt", "raw/.e.txt", "notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("字")
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["raw/b.txt"], ["raw/b.txt"]),
        (["raw"], ["raw/a.txt", "raw/b.txt", "raw/deep/c.txt"]),
        (["raw/*.txt"], ["raw/a.txt", "raw/b.txt"]),
        (["raw/**/*.txt"], ["raw/a.txt", "raw/b.txt", "raw/deep/c.txt"]),
        (["notes.md", "raw/?.txt"], ["notes.md", "raw/a.txt", "raw/b.txt"]),
        (["raw/b.txt", "raw"], ["raw/b.txt", "raw/a.txt", "raw/deep/c.txt"]),
    ],
)
def test_patterns_give_sorted_relative_names(base: Path, patterns: list[str], names: list[str]):
    files = resolve_paths(patterns, base)
    assert [file.name for file in files] == names
    assert all(file.path.is_file() for file in files)


def test_absolute_paths_are_named_without_the_machine(base: Path):
    assert [file.name for file in resolve_paths([str(base / "raw" / "b.txt")], base)] == ["b.txt"]
    assert [file.name for file in resolve_paths([str(base / "raw" / "*.txt")], base)] == ["raw/a.txt", "raw/b.txt"]
    assert [file.name for file in resolve_paths([str(base / "raw" / "deep")], base)] == ["deep/c.txt"]


def test_package_files_are_named_by_their_package():
    (file,) = resolve_paths(["package://json/decoder.py"], Path("nowhere"))
    assert file.name == "package://json/decoder.py"
    assert file.path.is_file()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("raw/aa.txt", r"raw/aa\.txt.*did you mean 'a\.txt'"),
        ("rw/a.txt", r"rw/a\.txt.*did you mean 'raw'"),
        ("raw/*.csv", r"raw/\*\.csv.*no file matches"),
        ("package://surely_not_installed/x.txt", "pip install surely_not_installed"),
        ("package://json/../os.py", "without '..'"),
        ("package://json", "expected package://NAME/file"),
        ("s3://bucket/x.txt", "remote address"),
    ],
)
def test_a_path_that_matches_nothing_is_an_error_with_a_remedy(base: Path, pattern: str, message: str):
    with pytest.raises(CorpusError, match=message):
        resolve_paths([pattern], base)


def test_an_empty_folder_is_an_error(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="holds no files"):
        resolve_paths(["empty"], tmp_path)
