"""An output is there whole or not at all, under a name that says what it was made from."""

import json
import multiprocessing
import os
import signal

import pytest

from bert_core.errors import StoreError
from bert_core.store.fingerprint import canonical_json, digest_of_file, fingerprint_of
from bert_core.store.manifest import faults_of, read_manifest
from bert_core.store.workspace import Workspace

SPEC = {"kind": "tokens", "code_version": 1, "settings": {"size": 3}, "raw": {}, "inputs": {}}


def build(workspace: Workspace, text: str = "hello", spec: dict | None = None) -> str:
    spec = spec or SPEC
    with workspace.building("tokens/x", spec, {}) as output:
        (output.folder / "part").mkdir()
        (output.folder / "part" / "data.txt").write_text(text)
        output.counts = {"rows": 1}
    return fingerprint_of(spec)


def fail_after(workspace: Workspace, files: dict[str, str]) -> None:
    """Write files of an output and fail before it is sealed."""
    with workspace.building("tokens/x", SPEC, {}) as output:
        for name, text in files.items():
            path = output.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        raise KeyError("fails here")


def test_a_sealed_output_is_found_with_its_counts(tmp_path):
    workspace = Workspace(tmp_path)
    fingerprint = build(workspace)
    manifest, faults = workspace.find("tokens", fingerprint, digests=True)
    assert faults == []
    assert manifest is not None
    assert manifest.counts == {"rows": 1}
    assert [entry.name for entry in manifest.files] == ["part/data.txt"]


def test_equal_bytes_have_equal_content_and_other_bytes_another(tmp_path):
    contents = []
    for name, text in (("a", "hello"), ("b", "hello"), ("c", "other")):
        fingerprint = build(Workspace(tmp_path / name), text)
        manifest, _ = Workspace(tmp_path / name).find("tokens", fingerprint)
        assert manifest is not None
        contents.append(manifest.content)
    assert contents[0] == contents[1] != contents[2]


def test_a_failed_build_leaves_nothing_visible_and_the_old_output_whole(tmp_path):
    workspace = Workspace(tmp_path)
    fingerprint = build(workspace, "old")
    with pytest.raises(KeyError):
        fail_after(workspace, {"data.txt": "half"})
    assert (workspace.folder_of("tokens", fingerprint) / "part" / "data.txt").read_text() == "old"
    assert workspace.find("tokens", fingerprint, digests=True)[1] == []


def test_what_a_dead_build_left_is_swept_but_its_resume_folder_stays(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(KeyError):
        fail_after(workspace, {"stale.txt": "stale", "resume/state": "step 5"})
    with workspace.building("tokens/x", SPEC, {}) as output:
        assert [path.name for path in output.folder.iterdir()] == ["resume"]
        assert (output.resume_folder / "state").read_text() == "step 5"
    manifest, _ = workspace.find("tokens", fingerprint_of(SPEC))
    assert manifest is not None
    assert manifest.files == []


@pytest.mark.parametrize("damage", ["missing", "shorter", "flipped"])
def test_damage_is_found_and_named(tmp_path, damage):
    workspace = Workspace(tmp_path)
    fingerprint = build(workspace)
    path = workspace.folder_of("tokens", fingerprint) / "part" / "data.txt"
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        path.write_text("hell")
    else:
        path.write_text("hellp")
    manifest, faults = workspace.find("tokens", fingerprint, digests=True)
    assert manifest is None
    assert "data.txt" in faults[0]


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "a/../../b", "s3://bucket/key", "file:///etc/passwd", "..\\b", "a\n", ""]
)
def test_a_manifest_that_reaches_out_of_its_folder_is_refused(tmp_path, name):
    workspace = Workspace(tmp_path)
    fingerprint = build(workspace)
    path = workspace.folder_of("tokens", fingerprint) / "manifest.json"
    data = json.loads(path.read_text())
    data["files"][0]["name"] = name
    path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match="not a plain relative name"):
        read_manifest(path.parent)
    assert workspace.find("tokens", fingerprint)[0] is None


def test_a_manifest_whose_specification_was_edited_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    folder = workspace.folder_of("tokens", build(workspace))
    data = json.loads((folder / "manifest.json").read_text())
    data["spec"]["settings"]["size"] = 4
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(StoreError, match="does not give the fingerprint"):
        read_manifest(folder)


def test_a_second_writer_fails_fast_and_names_the_output(tmp_path):
    workspace = Workspace(tmp_path)
    with (
        workspace.building("tokens/x", SPEC, {}),
        pytest.raises(StoreError, match="another run is building it now"),
        Workspace(tmp_path).building("tokens/x", SPEC, {}),
    ):
        pass


def _build_and_die(root) -> None:
    with Workspace(root).building("tokens/x", SPEC, {}) as output:
        (output.folder / "half.txt").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_killed_writer_is_free_and_its_output_is_built_anew(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_build_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    workspace = Workspace(tmp_path)
    assert workspace.find("tokens", fingerprint_of(SPEC)) == (None, [])
    manifest, _ = workspace.find("tokens", build(workspace))
    assert manifest is not None
    assert [entry.name for entry in manifest.files] == ["part/data.txt"]


def test_links_remember_the_last_output_of_each_stage(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.link("demo", {"tokens/x": "a" * 64})
    workspace.link("demo", {"tokens/y": "b" * 64})
    assert workspace.read_links("demo") == {"tokens/x": "a" * 64, "tokens/y": "b" * 64}
    assert workspace.read_links("other") == {}


def test_the_order_of_keys_does_not_change_a_fingerprint():
    assert canonical_json({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert fingerprint_of({"b": 1, "a": 2}) == fingerprint_of({"a": 2, "b": 1})


def test_a_range_of_a_file_has_a_digest_of_its_own(tmp_path):
    (tmp_path / "x").write_bytes(b"abcdef")
    (tmp_path / "y").write_bytes(b"cd")
    assert digest_of_file(tmp_path / "x", 2, 2) == digest_of_file(tmp_path / "y")


def test_faults_are_empty_for_a_whole_output(tmp_path):
    workspace = Workspace(tmp_path)
    folder = workspace.folder_of("tokens", build(workspace))
    manifest = read_manifest(folder)
    assert manifest is not None
    assert faults_of(folder, manifest, digests=True) == []


def test_a_run_that_waited_finds_what_the_other_run_sealed(tmp_path):
    workspace = Workspace(tmp_path)
    fingerprint = build(workspace, "first")
    with workspace.building("tokens/x", SPEC, {}, rebuild=False) as output:
        assert output.sealed is not None
        assert output.sealed.fingerprint == fingerprint
    assert (workspace.folder_of("tokens", fingerprint) / "part" / "data.txt").read_text() == "first"
