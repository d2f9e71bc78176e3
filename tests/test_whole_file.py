import os
from pathlib import Path

import numpy as np
import pytest
import torch

from nmf_nets.refusal import Refusal
from nmf_nets.whole_file import SEAL, FullDisk, SealedFile, fault, write

CONTENT = b"what was saved" * 10


@pytest.fixture
def saved(tmp_path):
    """A sealed file, and the earlier one beside it."""
    file = SealedFile(tmp_path / "deep" / "last.ckpt")
    for content in (b"earlier", CONTENT):
        with file.replacing() as unfinished:
            unfinished.write_bytes(content)
    return file


def content_of(path):
    return path.read_bytes()[: -SEAL.size]


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def no_seal(path):
    path.write_bytes(content_of(path))


def cut_in_the_middle(path):
    data = path.read_bytes()
    path.write_bytes(data[:20] + data[30:])


DAMAGE = {
    "a bit of the content": (lambda path: flip(path, 3), "other bytes than were saved"),
    "the first bit": (lambda path: flip(path, 0), "other bytes than were saved"),
    "the last bit of the content": (lambda path: flip(path, -SEAL.size - 1), "other bytes than were saved"),
    "a bit of the digest": (lambda path: flip(path, -1), "other bytes than were saved"),
    "a bit of the length": (lambda path: flip(path, -SEAL.size + 8), "bytes before its seal, but had"),
    "a bit of the mark": (lambda path: flip(path, -SEAL.size), "no seal at its end"),
    "cut off by a byte": (lambda path: os.truncate(path, path.stat().st_size - 1), "no seal at its end"),
    "cut off before its seal": (no_seal, "no seal at its end"),
    "cut off almost whole": (lambda path: os.truncate(path, 10), "less than the seal"),
    "nothing": (lambda path: path.write_bytes(b""), "less than the seal"),
    "cut in the middle": (cut_in_the_middle, "bytes before its seal, but had"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"more"), "no seal at its end"),
    "gone": (Path.unlink, "is missing"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
}


def test_both_are_whole_and_what_reads_them_sees_no_seal(saved):
    assert (content_of(saved.path), content_of(saved.earlier)) == (CONTENT, b"earlier")
    assert fault(saved.path) is fault(saved.earlier) is None
    assert saved.newest_whole() == saved.path
    assert sorted(file.name for file in saved.path.parent.iterdir()) == ["last.ckpt", "last.earlier.ckpt"]


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_seen_and_the_earlier_one_taken(case, saved):
    damage, words = DAMAGE[case]
    damage(saved.path)
    assert words in fault(saved.path)
    assert saved.newest_whole() == saved.earlier


@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_broken_is_set_aside_and_the_earlier_one_stays(case, saved):
    DAMAGE[case][0](saved.path)
    broken = saved.path.read_bytes() if saved.path.is_file() else None
    for content in (b"after", b"and after"):
        anew = SealedFile(saved.path)
        with anew.replacing() as unfinished:
            unfinished.write_bytes(content)
        assert content_of(saved.path) == content
        assert content_of(saved.earlier) == (b"earlier" if content == b"after" else b"after")
    aside = saved.path.with_name("last.ckpt.broken")
    assert (aside.read_bytes() if aside.is_file() else None) == broken


def test_two_that_are_broken_are_refused_with_both_their_faults(saved):
    flip(saved.path, 0)
    os.truncate(saved.earlier, 5)
    with pytest.raises(Refusal, match=r"/last.ckpt has other bytes .*/last.earlier.ckpt has 5 bytes.*move them away"):
        saved.newest_whole()
    assert saved.path.exists()


def test_where_nothing_was_saved_there_is_none(tmp_path):
    assert SealedFile(tmp_path / "last.ckpt").newest_whole() is None


def test_a_kill_between_the_two_renamings_leaves_the_earlier_one(saved):
    os.replace(saved.path, saved.earlier)
    assert content_of(saved.newest_whole()) == CONTENT


def test_an_exception_while_writing_leaves_both_and_nothing_else(saved):
    with pytest.raises(ZeroDivisionError), saved.replacing() as unfinished:
        unfinished.write_bytes(b"half" * (unfinished.write_bytes(b"half") // 0))
    assert (content_of(saved.path), content_of(saved.earlier)) == (CONTENT, b"earlier")
    assert len(list(saved.path.parent.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full here")
def test_a_full_disk_is_refused_with_its_free_space_and_leaves_both(saved):
    saved.path.with_name("last.ckpt.unfinished").symlink_to("/dev/full")
    with (
        pytest.raises(FullDisk, match=r"last.ckpt could not be saved \(No space left.* MiB of its disk are free; make"),
        saved.replacing() as unfinished,
        unfinished.open("wb") as file,
    ):
        torch.save({"weights": torch.ones(1000)}, file)
    assert (content_of(saved.path), content_of(saved.earlier)) == (CONTENT, b"earlier")
    assert len(list(saved.path.parent.iterdir())) == 2


def save_array(path, X):
    with path.open("wb") as file:
        np.save(file, X)


def save_tensor(path, X):
    torch.save(torch.from_numpy(X), path)


READERS = {
    "torch": (save_tensor, torch.load),
    "torch, mapped": (save_tensor, lambda path: torch.load(path, mmap=True)),
    "numpy": (save_array, np.load),
    "numpy, mapped": (save_array, lambda path: np.load(path, mmap_mode="r")),
}


@pytest.mark.parametrize("kind", READERS)
def test_readers_stop_before_the_seal(kind, tmp_path):
    save, load = READERS[kind]
    X = np.random.default_rng(0).random((300, 7))
    file = SealedFile(tmp_path / "X")
    with file.replacing() as unfinished:
        save(unfinished, X)
    assert fault(file.path) is None
    assert np.array_equal(load(file.path), X)


def test_the_names_reach_the_disk_too(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    write(tmp_path / "file", b"data")
    assert synced == [str(tmp_path / "file.unfinished"), str(tmp_path)]
