"""Runs that are stopped, from outside: what they say, what they leave, and how they go on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from ltm_edu import load_checkpoint
from ltm_edu.cli import main
from ltm_edu.runs.stopping import SIGNALS, Stopped, asked_to_stop, signals_stop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
STEPS = 150


def train(voc: Path, path: Path, *more: str) -> list[str]:
    sizes = ("--size", "97", "--set", "features=8", "--set", "widths=(8,4,4)", "--steps", STEPS)
    given = ("train", "--data", voc, "--checkpoint", path, *sizes, "--set", "batch=2", *more)
    return [*map(str, given)]


def started(*given: str, cwd: Path | None = None) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "ltm_edu", *given], cwd=cwd, **pipes)


def updates(path: Path, run: subprocess.Popen, at_least: int = 3) -> None:
    """Wait until a run has done some updates."""
    log = path.with_suffix(".jsonl")
    while not (log.is_file() and len(log.read_bytes().splitlines()) >= at_least):
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)


ALL_SIGNALS = [
    pytest.param(s, marks=[] if s == signal.SIGTERM else pytest.mark.soak, id=s.name)
    for s in SIGNALS
]


@pytest.mark.parametrize("number", ALL_SIGNALS)
def test_a_signal_saves_the_run_and_says_how_to_go_on(voc, tmp_path, number, capsys):
    path = tmp_path / "m.pt"
    run = started(*train(voc, path, "--resume"))
    updates(path, run)
    sent = time.monotonic()
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert time.monotonic() - sent < 20  # an update takes milliseconds, on a busy machine seconds
    assert run.returncode == 128 + number
    last = err.splitlines()[-1]
    assert last.startswith("ltm-edu: stopped after update ")
    assert last.endswith(
        f"saved in {path.with_suffix('.state')}: the same command with --resume goes on"
    )
    assert "Traceback" not in out + err
    assert {p.name for p in tmp_path.iterdir()} == {"m.jsonl", "m.state", "voc", "ltm_edu_data"}
    if number == signal.SIGTERM:
        assert main(train(voc, path, "--resume")) == 0
        assert main(train(voc, tmp_path / "whole.pt")) == 0
        again, whole = (load_checkpoint(tmp_path / f"{n}.pt")[0] for n in ("m", "whole"))
        a, b = again.trainable_state(), whole.trainable_state()
        assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.soak
def test_without_resume_a_signal_ends_the_run_at_once_and_leaves_no_checkpoint(voc, tmp_path):
    path = tmp_path / "m.pt"
    run = started(*train(voc, path))
    updates(path, run)
    run.terminate()
    _, err = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert err.splitlines()[-1] == "ltm-edu: stopped"
    assert not path.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_second_training_of_a_checkpoint_is_refused_and_says_who_is_first(voc, tmp_path, capsys):
    path = tmp_path / "m.pt"
    run = started(*train(voc, path, "--resume"))
    try:
        updates(path, run)
        assert main(train(voc, path, "--resume")) == 2
        assert f"{path} is being trained by process {run.pid} on " in capsys.readouterr().err
        assert main(train(voc, tmp_path / "m2.pt", "--steps", "3")) == 0
        assert run.poll() is None
    finally:
        run.kill()
        run.communicate()
    assert main(train(voc, path, "--resume")) == 0  # a killed process holds nothing


def test_a_killed_worker_is_one_line(voc, tmp_path):
    path = tmp_path / "m.pt"
    run = started(*train(voc, path, "--workers", "1"))
    updates(path, run)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list a process's children")
    for child in children.read_text().split():
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"resource_tracker" not in command:
            os.kill(int(child), signal.SIGKILL)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "use fewer workers" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(voc, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    picture = next((voc / "JPEGImages").iterdir())
    support = ("--support", str(picture), str(pipe))
    for given in (
        ["predict", "--checkpoint", str(pipe), *support, "--query", str(picture), "--out", "o"],
        ["predict", *support, "--query", str(picture), "--out", str(tmp_path / "o")],
        ["results", str(pipe)],
        ["train", "--data", str(voc), "--init", str(pipe)],
        ["evaluate", "--data", str(voc), "--seed", "0", "--episode-lists", str(pipe)],
        ["import", "coco", str(pipe), "--images", str(voc), "--out", str(tmp_path / "set")],
    ):
        assert main(given) == 2
        assert f"{pipe} is a pipe" in capsys.readouterr().err.splitlines()[-1]


def test_the_second_signal_does_not_wait():
    with signals_stop(), asked_to_stop() as signalled:
        assert signalled() is None
        signal.raise_signal(signal.SIGTERM)
        assert signalled() == signal.SIGTERM
        with pytest.raises(Stopped) as stop:
            signal.raise_signal(signal.SIGTERM)
    assert stop.value.number == signal.SIGTERM


LOADED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "ltm_edu.cli":
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Finder())
from ltm_edu.__main__ import start
start()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_the_command_is_being_loaded_is_one_line(name):
    default = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    done = subprocess.run(
        [sys.executable, "-c", default + LOADED.format(signal=name)], capture_output=True, text=True
    )
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stderr == "ltm-edu: stopped\n"


def test_the_handlers_are_put_back_and_other_threads_leave_them_alone():
    before = [signal.getsignal(s) for s in SIGNALS]
    with signals_stop():
        assert [signal.getsignal(s) for s in SIGNALS] != before

    def elsewhere() -> None:
        with signals_stop():
            seen.extend(signal.getsignal(s) for s in SIGNALS)

    seen: list = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == before == [signal.getsignal(s) for s in SIGNALS]


# The command line, whatever happens


def test_what_nobody_foresaw_is_one_line_and_a_report(voc, monkeypatch, capsys):
    from ltm_edu.commands import verify

    def fail(_options: object) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(verify, "run", fail)
    assert main(["verify", str(voc)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ltm-edu: ZeroDivisionError: first line. ")
    report = Path(line.rpartition(" is in ")[2])
    text = report.read_text(encoding="utf-8")
    report.unlink()
    assert f"ltm-edu verify {voc}" in text
    assert "second line" in text
    assert 'raise ZeroDivisionError("first line' in text


@pytest.mark.parametrize("given", ["--help", "inspect {voc}"])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(voc, given):
    command = f"{sys.executable} -m ltm_edu {given.format(voc=voc)} | head -c 0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Pipe" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ascii_terminal_shows_names_it_lacks_letters_for(tmp_path):
    given = [sys.executable, "-m", "ltm_edu", "verify", str(tmp_path / "größe🐈")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(given, capture_output=True, env=environment)
    assert done.returncode == 2
    assert b"gr\\xf6\\xdfe\\U0001f408" in done.stderr
    assert b"Traceback" not in done.stderr


LONG = "n" * 300
SENSELESS = [
    ["train", "--seed", str(2**64)],
    ["train", "--set", "stages=112.0"],
    ["train", "--set", "widths=8,8.5,8"],
    ["train", "--set", 'query_scales=1,"a"'],
    ["train", "--set", "balance=1e308"],
    ["train", "--set", "features=10000000"],
    ["train", "--set", "learning_rate=nan"],
    ["train", "--set", "lambda_m=-1"],
    ["train", "--set", "lambda_a=inf"],
    ["train", "--checkpoint", "a\0b.pt"],
    ["train", "--checkpoint", ""],
    ["train", "--checkpoint", LONG],
    ["train", "--checkpoint", "~nobody-of-this-name/m.pt/m.pt", "--size", "31"],
    ["train", "--init", LONG],
    ["evaluate", "--shots", "x"],
    ["evaluate", "--seed", str(2**64)],
    ["evaluate", "--episodes", "0"],
    ["evaluate", "--json", LONG],
    ["evaluate", "--checkpoint", LONG],
    ["compare", "--json", "same", "--png", "same"],
    ["results", LONG],
    ["verify", "~nobody-of-this-name"],
    ["inspect", LONG],
    ["inspect", "loop"],
    ["results", "loop"],
    ["predict", "--support", "loop", "loop", "--query", LONG, "--out", "o"],
    ["predict", "--support", "loop", "loop", "--query", "loop", "--out", ""],
    ["predict"],
    ["nothing"],
    [],
]


@pytest.mark.parametrize("given", SENSELESS, ids=lambda g: " ".join(g)[:60])
def test_a_senseless_option_is_one_line(voc, tmp_path, monkeypatch, capsys, given):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    before = sorted(p.name for p in tmp_path.iterdir())
    data = (
        ["--data", str(voc)] if given[:1] and given[0] in ("train", "evaluate", "compare") else []
    )
    assert main([*given, *data]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("ltm-edu: ")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "ltm_edu_data") == before


def test_two_checkpoints_never_share_a_log(voc, tmp_path):
    assert main(train(voc, tmp_path / "lr{fold}.1", "--steps", "2", "--fold", "0,1")) == 0
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {
        f"lr{fold}.1{ending}" for fold in (0, 1) for ending in ("", ".jsonl")
    }


@pytest.mark.parametrize("ending", ["", ".jsonl", ".state"])
def test_a_place_that_is_taken_is_found_before_the_training(voc, tmp_path, capsys, ending):
    (tmp_path / "m").mkdir() if not ending else (tmp_path / f"m{ending}").mkdir()
    assert main(train(voc, tmp_path / "m", "--resume")) == 2
    assert "it is a folder" in capsys.readouterr().err
    assert not (tmp_path / "ltm_edu_data" / "cache").exists()
