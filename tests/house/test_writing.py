"""Files that are there as a whole or not at all, against what the file system shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import CommitteeError, WiseCommitteeError
from wisecommittee.writing import whole_file, written_whole


def write(path: Path, data: bytes) -> None:
    with written_whole(path) as file:
        file.write(data)


def test_a_file_is_replaced_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "f"
    write(path, b"one")
    with written_whole(path) as file:
        file.write(b"tw")
        assert path.read_bytes() == b"one"
        assert len(os.listdir(tmp_path)) == 2
        file.write(b"o")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["f"]


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "f"
    write(path, b"one")
    with pytest.raises(KeyError), written_whole(path) as file:
        file.write({}[b"two"])
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["f"]


def test_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write(tmp_path / "f", b"")
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "f").symlink_to("outside")
    write(tmp_path / "f", b"new")
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "f").read_bytes() == b"new"


def test_links_at_the_name_of_a_temporary_file_are_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr("wisecommittee.writing.temporary_name", lambda _: ".f.tmp")
    (tmp_path / ".f.tmp").symlink_to("outside")
    with pytest.raises(WiseCommitteeError, match=r"cannot write .*File exists"):
        write(tmp_path / "f", b"new")
    assert sorted(os.listdir(tmp_path)) == [".f.tmp"]


def test_writers_at_once_never_mix(tmp_path):
    texts = [str(i).encode() * 50_000 for i in range(4)]
    stop, seen = threading.Event(), set()

    def write_often(text: bytes) -> None:
        for _ in range(30):
            write(tmp_path / "f", text)

    def read_often() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "f").read_bytes())

    write(tmp_path / "f", texts[0])
    writers = [threading.Thread(target=write_often, args=(text,)) for text in texts]
    reader = threading.Thread(target=read_often)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen <= set(texts)
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing/f", "No such file or directory; make its folder first"),
        ("a file/f", "Not a directory; a file stands where its folder should be"),
        ("a folder", "Is a directory; it is a folder; name a file"),
        ("n" * 300, "File name too long; choose a shorter name"),
        ("pipe", "a pipe or a device; expected the name of a file"),
        ("/dev/null", "a pipe or a device; expected the name of a file"),
        ("linked pipe", "a pipe or a device; expected the name of a file"),
    ],
)
def test_places_that_cannot_be_written(place, message, tmp_path):
    (tmp_path / "a file").write_bytes(b"")
    (tmp_path / "a folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked pipe").symlink_to("pipe")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(CommitteeError, match=rf"cannot write '.*': {message}"):
        Committee((("a",),)).save(tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == before


def test_names_of_the_greatest_length_are_written(tmp_path):
    for name in ("n" * 255, "漢" * 85):
        write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_a_full_disk_is_one_error_whoever_complains(tmp_path):
    """torch raises its own error where its file could not be written."""
    torch = pytest.importorskip("torch")
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        for save in (
            lambda file: torch.save({"w": torch.zeros(100_000)}, file),
            lambda file: file.write(b"x" * 100_000),
        ):
            full = pytest.raises(WiseCommitteeError, match="No space left on device; free some space and run again")
            with full, written_whole(place / "f") as file:
                save(file)
            assert os.listdir(place) == []
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_file_may_be_named_from_an_open_folder(tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with whole_file("f", folder=folder) as file:
            file.write(b"x")
    finally:
        os.close(folder)
    assert (tmp_path / "f").read_bytes() == b"x"
