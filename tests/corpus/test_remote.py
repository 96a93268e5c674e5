"""Corpora behind addresses: an object store and a web server on this machine, read as they would be anywhere."""

import gzip
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bert_core.config import CorpusConfig
from bert_core.corpus.documents import build_slice
from bert_core.corpus.paths import resolve_paths
from bert_core.corpus.slices import Slice, plan_slices
from bert_core.errors import CorpusError
from bert_core.store.shards import read_shards


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a web server."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Address of a bucket of an object store; its address and keys are in the environment."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "planted-key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("texts")
        yield "s3://texts"
    server.stop()


def put(address: str, content: bytes) -> None:
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).pipe(address.removeprefix("s3://"), content)


def texts_of(piece: Slice, folder: Path, **settings) -> list[str]:
    folder.mkdir()
    build_slice(piece, CorpusConfig(paths=["-"], **settings), folder)
    assert sorted(os.listdir(folder)) == ["counts.json", "documents-00000-of-00001.arrow", "quarantine.jsonl"]
    return read_shards(folder, "documents")["text"].to_pylist()


def test_objects_of_a_bucket_are_read_by_name_folder_and_glob(bucket: str, tmp_path: Path):
    put(f"{bucket}/raw/b.txt", "第一篇。\n\n第二篇。".encode("gb18030"))
    put(f"{bucket}/raw/a.jsonl.gz", gzip.compress('{"text": "第三篇。"}\n'.encode()))
    put(f"{bucket}/raw/.hidden", b"x")
    names = [f"{bucket}/raw/a.jsonl.gz", f"{bucket}/raw/b.txt"]
    for pattern, found in (("raw", names), ("raw/*.txt", names[1:]), ("raw/b.txt", names[1:])):
        files = resolve_paths([f"{bucket}/{pattern}"], tmp_path, allow_remote=True)
        assert [file.name for file in files] == found
    pieces = plan_slices(CorpusConfig(paths=[f"{bucket}/raw"]), tmp_path)
    assert [piece.size_bytes > 0 for piece in pieces] == [True, True]
    assert texts_of(pieces[0], tmp_path / "one") == ["第三篇。"]
    assert texts_of(pieces[1], tmp_path / "two") == ["第一篇。", "第二篇。"]
    assert read_shards(tmp_path / "two", "documents")["file"].to_pylist() == [names[1]] * 2


def test_a_changed_object_has_another_digest_and_is_refused_under_the_old_one(bucket: str, tmp_path: Path):
    config = CorpusConfig(paths=[f"{bucket}/changing.txt"])
    put(f"{bucket}/changing.txt", "旧的文字".encode())
    (before,) = plan_slices(config, tmp_path)
    assert plan_slices(config, tmp_path) == [before]
    put(f"{bucket}/changing.txt", "新的文字".encode())  # of equal size
    (after,) = plan_slices(config, tmp_path)
    assert after.digest != before.digest
    (tmp_path / "out").mkdir()
    with pytest.raises(CorpusError, match=r"s3://texts/changing\.txt: changed while it was read"):
        build_slice(before, config, tmp_path / "out")
    assert texts_of(after, tmp_path / "new") == ["新的文字"]


def test_what_is_not_in_a_bucket_is_an_error_without_secrets(bucket: str, tmp_path: Path):
    for pattern in (f"{bucket}/nowhere/a.txt", f"{bucket}/nowhere/*.txt", "s3://no-such-bucket/a.txt"):
        with pytest.raises(CorpusError, match=r"correct the address|cannot be read") as caught:
            plan_slices(CorpusConfig(paths=[pattern]), tmp_path)
        assert "planted" not in str(caught.value)


def test_a_file_of_a_web_server_is_read_and_its_changes_are_seen(web, tmp_path: Path):
    address, folder = web
    (folder / "a.txt").write_text("第一篇。\n\n第二篇。", encoding="utf-8")
    config = CorpusConfig(paths=[f"{address}/a.txt?token=planted-secret"])
    (piece,) = plan_slices(config, tmp_path)
    assert piece.file.name == f"{address}/a.txt"
    assert texts_of(piece, tmp_path / "out") == ["第一篇。", "第二篇。"]
    os.utime(folder / "a.txt", (1_000_000_000, 1_000_000_000))
    (later,) = plan_slices(config, tmp_path)
    assert later.digest != piece.digest
    (folder / "a.txt").unlink()
    with pytest.raises(CorpusError, match="cannot be read") as caught:
        plan_slices(config, tmp_path)
    assert "planted-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "https://user:planted-secret@127.0.0.1/a.txt",
        "s3://key:planted-secret@bucket/a.txt",
        "simplecache::s3://bucket/planted.txt",
        "ftp://user:planted-secret@127.0.0.1/a.txt",
        "memory://planted",
    ],
)
def test_addresses_with_credentials_or_of_other_kinds_are_refused_before_any_call(pattern: str, tmp_path: Path):
    with pytest.raises(CorpusError, match=r"in the environment|is not read here") as caught:
        resolve_paths([pattern], tmp_path, allow_remote=True)
    assert "planted-secret" not in str(caught.value)


def test_labelled_files_behind_an_address_are_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match="download it first"):
        resolve_paths(["s3://bucket/a.tsv"], tmp_path)
