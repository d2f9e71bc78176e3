import numpy as np
import pytest
import torch

from nmf_nets.codes.cold import Cold
from nmf_nets.codes.drawn import CHUNK, Drawn
from nmf_nets.codes.on_disk import OnDisk
from nmf_nets.codes.resident import Resident
from nmf_nets.refusal import Refusal

H = torch.rand(10, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["resident", "on_disk"])
def kept(request, tmp_path):
    if request.param == "resident":
        return Resident(0, 10, 3, torch.float32)
    made = OnDisk(tmp_path / "H.npy", 10, 3, torch.float32)
    made.make()
    return made


def test_what_is_put_is_there_in_any_blocks(kept):
    for start, stop in ((0, 4), (4, 10)):
        kept.put(start, H[start:stop])
    assert torch.equal(kept.rows(0, 10), H)
    assert torch.equal(kept.rows(3, 7), H[3:7])
    kept.put(2, H[:2])
    assert torch.equal(kept.rows(2, 4), H[:2])


def test_a_file_is_one_of_numpy_and_knows_what_was_put(tmp_path):
    one, other = (OnDisk(tmp_path / "H.npy", 10, 3, torch.float32) for _ in range(2))
    one.make()
    one.put(0, H[:6])
    other.put(6, H[6:])
    other.sync()
    np.testing.assert_array_equal(np.load(tmp_path / "H.npy"), H.numpy())
    assert (one.checksum_of(0, 6), one.checksum_of(6, 10)) == (one.checksum, other.checksum)
    assert one.checksum_of(0, 6, height=1) == one.checksum
    one.begin()
    one.put(0, H[:6] + 1)
    assert one.checksum_of(0, 6) == one.checksum != other.checksum
    one.make()  # which leaves what is there
    np.testing.assert_array_equal(np.load(tmp_path / "H.npy")[6:], H[6:].numpy())


def test_a_file_that_is_cut_off_or_another_has_no_checksum(tmp_path):
    made = OnDisk(tmp_path / "H.npy", 10, 3, torch.float32)
    made.make()
    made.put(0, H)
    (tmp_path / "H.npy").write_bytes((tmp_path / "H.npy").read_bytes()[:-1])
    assert made.checksum_of(0, 10) == -1
    with pytest.raises(OSError, match="ends 1 bytes before"):
        made.rows(0, 10)
    np.save(tmp_path / "H.npy", H.double().numpy())
    assert OnDisk(tmp_path / "H.npy", 10, 3, torch.float32).checksum_of(0, 10) == -1
    assert OnDisk(tmp_path / "none.npy", 10, 3, torch.float32).checksum_of(0, 10) == -1


def test_codes_without_a_place_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match=r"codes of 10 rows take \d+ bytes"):
        OnDisk(tmp_path / "file" / "H.npy", 10, 3, torch.float32).make()


def test_drawn_codes_are_a_function_of_seed_and_row():
    drawn = Drawn(3, 2.0, 5, torch.float64)
    whole = drawn.rows(0, CHUNK + 50)
    assert torch.equal(drawn.rows(CHUNK - 7, CHUNK + 9), whole[CHUNK - 7 : CHUNK + 9])
    assert whole.shape == (CHUNK + 50, 3)
    assert 0.99 < float(whole.mean()) < 1.01
    assert not torch.equal(whole[:50], whole[CHUNK:])
    assert not torch.equal(Drawn(3, 2.0, 6, torch.float64).rows(0, 9), whole[:9])


def test_cold_codes_are_left_to_the_update():
    assert Cold().rows(0, 3) is None
