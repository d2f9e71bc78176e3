import csv

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import nmf_nets
from nmf_nets.data.audio import Audio
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal
from nmf_nets.sound import Spectrogram, read_sound

RATE = 8000


def note(frequency, seconds=0.5, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    return sum(0.2 / k * np.sin(2 * np.pi * k * frequency * time) for k in (1, 2, 3))


def save(path, signal, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.round(signal * 32767).astype(np.int16))
    return path


def folder(tmp_path):
    save(tmp_path / "sounds" / "b.wav", note(300))
    save(tmp_path / "sounds" / "a.WAV", note(500, 0.3))
    save(tmp_path / "sounds" / "more" / "c.wav", note(700, 0.2))
    (tmp_path / "sounds" / "notes.txt").write_text("about these sounds")
    return tmp_path / "sounds"


@pytest.mark.parametrize("options", [{}, {"n_fft": 512, "hop": 128, "power": 2.0}, {"mel": 24, "window": "hamming"}])
def test_rows_are_the_frames_of_one_file_after_another(tmp_path, options):
    path = folder(tmp_path)
    data = Audio(path, dtype="float64", validation=0, test=0, **options)
    data.setup()
    spectrogram = Spectrogram(RATE, **options)
    files = ("a.WAV", "b.wav", "more/c.wav")
    expected = [spectrogram.of(read_sound(path / name)) for name in files]
    assert torch.equal(data.training.dense(), torch.cat(expected))
    assert np.array_equal(data.dataset.frequencies, spectrogram.frequencies)
    assert data.dataset.shown_as == "spectrum"
    assert len(data.dataset.sample_names) == len(torch.cat(expected))
    assert data.dataset.sample_names[1] == f"a.WAV {spectrogram.hop / RATE:.3f} s"
    assert data.dataset.sample_names[len(expected[0])] == "b.wav 0.000 s"
    sounds = data.sounds()
    assert tuple(sounds) == files
    assert torch.equal(sounds["b.wav"].signal, read_sound(path / "b.wav").signal)


def test_features_are_named_by_their_frequencies_and_the_last_frames_held_out(tmp_path):
    data = Audio(save(tmp_path / "x.wav", note(440)), n_fft=400, hop=100)
    data.setup()
    assert data.dataset.feature_names[:3] == ("0.0 Hz", "20.0 Hz", "40.0 Hz")
    assert data.dataset.feature_names[int(data.training.dense().mean(0).argmax())] == "440.0 Hz"
    n = data.dataset.X.shape[0]
    assert data.training_rows.tolist() == list(range(n - 2 * (n // 10)))


def test_files_of_other_rates_are_refused_or_resampled(tmp_path):
    path = folder(tmp_path)
    save(path / "d.wav", note(440, rate=16000), 16000)
    with pytest.raises(
        Refusal, match=r"d.wav in .* has 16000 samples a second, but a.WAV has 8000; data.sample_rate=8"
    ):
        Audio(path).setup()
    data = Audio(path, sample_rate=RATE, validation=0, test=0)
    data.setup()
    assert data.dataset.frequencies[-1] == RATE / 2
    resampled = data.sounds()["d.wav"]
    assert len(resampled.signal) == RATE // 2
    assert np.abs(resampled.signal.numpy() - note(440))[100:-100].max() < 0.01


def test_new_sound_must_have_the_frequencies_of_the_net(tmp_path):
    old, new = save(tmp_path / "old.wav", note(300)), save(tmp_path / "new.wav", note(300, rate=16000), 16000)
    data = Audio(old)
    data.setup()
    names = data.dataset.feature_names
    assert data.read(old, names).feature_names == names
    with pytest.raises(Refusal, match=r"new.wav has 513 frequencies up to 8000.0 Hz, .* 513 up to 4000.0 Hz; .*n_fft"):
        data.read(new, names)
    assert Audio(old, sample_rate=RATE).read(new, names).X.shape[1] == 513


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "elsewhere"}, "no such file or folder"),
        ({"path": __file__}, r"must be a file that ends in .wav, or a folder"),
        ({"sample_rate": 0}, "data.sample_rate must be an integer of at least 1"),
        ({"hop": 1000}, "hop is 1000, but must be at most n_fft / 2 = 512"),
        ({"mel": 500}, "mel is 500"),
    ],
)
def test_impossible_choices_are_refused(tmp_path, options, said):
    with pytest.raises(Refusal, match=said):
        Audio(**{"path": folder(tmp_path), **options}).setup()


def test_what_is_no_sound_is_refused_by_name(tmp_path):
    path = folder(tmp_path)
    (path / "bad.wav").write_bytes(b"nonsense")
    with pytest.raises(Refusal, match=r"bad.wav cannot be read as .wav"):
        Audio(path).setup()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(Refusal, match=r"must hold files that end in .wav, but holds none"):
        Audio(tmp_path / "nothing").setup()


def test_a_factorization_takes_notes_apart(tmp_path):
    low, high = np.concatenate([note(262), note(262, 0.25), 0 * note(262, 0.25)]), note(587, 1.0)
    high[: RATE // 2] = 0
    data = Audio(save(tmp_path / "x.wav", low + high), validation=0, test=0)
    data.setup()
    result = nmf_nets.factorize(data.training, 2, divergence="kullback_leibler", seed=0)
    (mixture,) = (sounds := data.sounds()).values()
    parts = [part for (part,) in data.spectrogram(sounds).parts([mixture], Factorization(result.H, result.W))]
    assert float((sum(part.signal for part in parts) - mixture.signal).abs().max()) < 1e-6
    fit = [min(float(torch.dist(part.signal, torch.from_numpy(one))) for part in parts) for one in (low, high)]
    assert max(fit) < 0.2 * np.linalg.norm(low)


SOUNDS = ["data=audio", "divergence=kullback_leibler", "+callback@callbacks.component_sounds=component_sounds"]


def test_sound_is_trained_on_and_what_was_learned_is_heard(train, tmp_path):
    save(tmp_path / "in" / "first.wav", np.concatenate([note(262), note(587)]))
    save(tmp_path / "in" / "more" / "second.wav", note(587))
    ran = train(*SOUNDS, "data.path=in", "n_components=2", "trainer.max_epochs=30")
    assert ran.code == 0, ran.err
    assert (ran.directory / "run" / "components.png").stat().st_size > 0
    for name in ("first", "more/second"):
        parts = [read_sound(ran.directory / "run" / "sounds" / name / f"{k}.wav").signal for k in range(2)]
        assert float((sum(parts) - read_sound(tmp_path / "in" / f"{name}.wav").signal).abs().max()) < 1e-6
        loud = torch.stack(parts).reshape(2, -1, RATE // 2).square().sum(2)
        assert (loud.amax(0) > 100 * loud.amin(0)).all(), "each note is one component's"
        assert loud.argmax(0).unique().numel() == loud.shape[1], "and of another component than the other note"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["data=audio", "data.path=x.wav", "data.test=0.1"],
            "frames of them are held out; use data.validation=0 data.test=0",
        ),
        (["data=digits"], "component_sounds is about sound; use it with data=audio"),
    ],
)
def test_only_whole_sound_is_taken_apart(train, tmp_path, overrides, said):
    save(tmp_path / "x.wav", note(262))
    ran = train(*SOUNDS[1:], *overrides)
    assert ran.code == 2
    assert said in ran.sentence


@pytest.mark.parametrize("experiment", ["notes", "events"])
def test_notes_are_left_in_the_run_directory(train, tmp_path, experiment):
    save(tmp_path / "x.wav", np.concatenate([note(262), note(587), note(262)]))
    ran = train(f"experiment={experiment}", "data.path=x.wav", "n_components=2", "trainer.max_epochs=20")
    assert ran.code == 0, ran.err
    left = ran.directory / "run"
    with (left / "notes.csv").open() as lines:
        table = list(csv.DictReader(lines))
    assert sorted(line["pitch"] for line in table) == ["C4", "D5"]
    assert sum(float(line["share of energy"]) for line in table) == pytest.approx(1, abs=1e-3)
    assert all((left / f"{name}.png").stat().st_size > 5000 for name in ("notes", "piano_roll"))
    assert sorted(path.name for path in (left / "sounds" / "x").iterdir()) == ["0.wav", "1.wav"]


def test_motifs_of_sound_are_trained_on(train, tmp_path):
    save(tmp_path / "x.wav", np.concatenate([note(262), note(587), note(262), note(587)]))
    overrides = ["experiment=convolutive", "data=audio", "data.path=x.wav", "data.mel=20", "n_components=2"]
    ran = train(*overrides, "decoder.lags=4", "trainer.max_epochs=3")
    assert ran.code == 0, ran.err
    assert (ran.directory / "run" / "components.png").stat().st_size > 0


def test_the_command_says_what_is_no_sound(train, tmp_path):
    (tmp_path / "x.wav").write_bytes(b"nonsense")
    ran = train("data=audio", "data.path=x.wav")
    assert ran.code == 2
    assert ran.sentence.startswith("refused: x.wav cannot be read as .wav: ")
