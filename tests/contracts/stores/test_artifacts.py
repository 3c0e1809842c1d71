"""Artifacts: immutable bytes whose digest is checked at every reading."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.digest import digest_bytes
from roadworthy.errors import ArtifactError, StoreError
from roadworthy.stores.artifacts import FileArtifacts


@pytest.fixture
def artifacts(home):
    """The artifacts of a fresh home."""
    return FileArtifacts(home.artifacts)


def test_what_was_put_is_what_is_got(artifacts, tmp_path):
    """Bytes come back as they were, by the digest of their content."""
    (tmp_path / "model.bin").write_bytes(b"model" * 1000)
    name = artifacts.put_file(tmp_path / "model.bin")
    assert name == artifacts.put(b"model" * 1000) == digest_bytes(b"model" * 1000)
    assert artifacts.get(name) == artifacts.path(name).read_bytes() == b"model" * 1000
    assert artifacts.has(name)


@pytest.mark.parametrize("byte", [0, 500, 4_999])
def test_one_flipped_byte_is_found_at_every_reading(artifacts, byte):
    """An altered artifact is never loaded, not even after it was read well once."""
    name = artifacts.put(b"model" * 1000)
    path = artifacts.path(name)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtifactError, match="altered"):
        artifacts.get(name)
    with pytest.raises(ArtifactError, match="altered"):
        artifacts.path(name)


def test_putting_again_mends_a_damaged_copy(artifacts):
    """Who still has the bytes can repair the store."""
    name = artifacts.put(b"model")
    path = artifacts.path(name)
    path.chmod(0o644)
    path.write_bytes(b"mo")
    assert artifacts.put(b"model") == name
    assert artifacts.get(name) == b"model"


def test_a_missing_artifact_is_one_clear_message(artifacts):
    """A release whose bytes are gone names them and the next step."""
    with pytest.raises(ArtifactError, match="missing"):
        artifacts.get(digest_bytes(b"never put"))
    assert not artifacts.has(digest_bytes(b"never put"))


@given(name=st.text(max_size=90) | st.just("sha256:../../../../etc/passwd") | st.just("sha256:" + "A" * 64))
def test_no_text_of_a_caller_reaches_a_path(name, tmp_path_factory):
    """Only a well-formed digest names a file; anything else is refused before the disk is touched."""
    artifacts = FileArtifacts(tmp_path_factory.getbasetemp() / "nowhere")
    assert not artifacts.has(name)
    with pytest.raises(ArtifactError):
        artifacts.path(name)


def test_a_file_that_cannot_be_read_is_one_clear_message(artifacts, tmp_path):
    """A wrong path ends in a sentence."""
    with pytest.raises(StoreError, match="cannot read"):
        artifacts.put_file(tmp_path / "absent.bin")


def test_a_file_that_changes_while_it_is_read_is_refused(artifacts, tmp_path, monkeypatch):
    """An artifact never carries the digest of other bytes."""
    source = tmp_path / "growing.bin"
    source.write_bytes(b"before")
    keep = FileArtifacts._keep

    def grow_then_keep(self, name, chunks):
        source.write_bytes(b"after!")
        keep(self, name, chunks)

    monkeypatch.setattr(FileArtifacts, "_keep", grow_then_keep)
    with pytest.raises(ArtifactError, match="changed while it was read"):
        artifacts.put_file(source)
    assert not artifacts.has(digest_bytes(b"before"))
