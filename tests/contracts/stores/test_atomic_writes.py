"""Atomic writes: all of the new or all of the old, and plain sentences when the disk says no."""

import errno

import pytest

from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors, sweep_temporaries, write_bytes, write_stream


def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    """After a write there is the new content and no temporary file."""
    path = tmp_path / "file"
    write_bytes(path, b"old", "home")
    write_bytes(path, b"new", "home")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_content(tmp_path):
    """An error in the middle changes nothing."""
    path = tmp_path / "file"
    write_bytes(path, b"old", "home")

    def chunks():
        yield b"ne"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_stream(path, chunks(), "home")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "may not write there"),
        (errno.ENOTTY, "ioctl"),
    ],
)
def test_each_disk_error_is_a_plain_sentence(number, says):
    """The message says what could not be done and why."""
    with pytest.raises(StoreError, match="cannot write the model") as caught, plain_errors("write the model"):
        raise OSError(number, "Inappropriate ioctl for device")
    assert says in caught.value.message


def test_a_write_into_a_missing_folder_says_so(tmp_path):
    """A wrong path ends in a sentence."""
    with pytest.raises(StoreError, match="the folder does not exist"):
        write_bytes(tmp_path / "absent" / "file", b"x", "home")


def test_what_killed_writers_left_behind_can_be_swept(tmp_path):
    """Temporary files of dead processes are removed, young ones and real files stay."""
    (tmp_path / "deep").mkdir()
    left = tmp_path / "deep" / ".file.0123456789ab.tmp"
    left.write_bytes(b"half")
    (tmp_path / "deep" / "file").write_bytes(b"whole")
    age = left.stat().st_mtime
    assert sweep_temporaries(tmp_path, age) == 0
    assert sweep_temporaries(tmp_path, age + 1) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]
