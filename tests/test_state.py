"""A run that was stopped goes on bit for bit, or says what differs."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import tiny_model

from ltm_edu import training
from ltm_edu.episodes import Protocol
from ltm_edu.runs.settings import Machine, TrainingConfig
from ltm_edu.store.errors import InputError
from ltm_edu.training import fit

CONFIG = TrainingConfig(steps=6, batch=2, held_out=2, checks=3, check_episodes=4)


class Stop(Exception):
    """Somebody pulled the plug."""


def started():
    torch.manual_seed(0)
    return tiny_model()


def run(tiny, state=None, log=None, stop_after=None, config=CONFIG, model=None, **options):
    model = model or started()

    def stop(step, row):
        if step == stop_after:
            raise Stop

    machine = Machine(state=state, save_every=2)
    fitted = fit(
        model, tiny, 0, config, log=log, progress=False, on_step=stop, machine=machine, **options
    )
    return model, fitted


@pytest.fixture
def stopped(tiny, tmp_path):
    """The state of a run that was stopped after its fifth update, and saved after its fourth."""
    with pytest.raises(Stop):
        run(tiny, tmp_path / "state.pt", tmp_path / "log.jsonl", stop_after=5)
    return tmp_path / "state.pt"


def timeless(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tiny, stopped, tmp_path):
    whole, fitted = run(tiny)
    torch.manual_seed(7)  # whatever was drawn before
    again, more = run(tiny, stopped, tmp_path / "log.jsonl")
    a, b = whole.trainable_state(), again.trainable_state()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert timeless(more.history) == timeless(fitted.history)
    assert more.best_step == fitted.best_step
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)


def test_the_log_says_with_how_many_threads_and_when_that_changes(tiny, stopped, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        _, fitted = run(tiny, stopped, tmp_path / "log.jsonl")
    finally:
        torch.set_num_threads(before)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    threads = {row["step"]: row["threads"] for row in rows if "threads" in row}
    assert threads == {1: before, 5: before + 1}  # the state is from after the fourth update
    assert timeless(rows) == timeless(fitted.history)


def test_a_run_that_has_ended_is_there_at_once(tiny, tmp_path):
    first, fitted = run(tiny, tmp_path / "state.pt")
    again, more = run(tiny, tmp_path / "state.pt", stop_after=6)  # would raise, if it trained
    a, b = first.trainable_state(), again.trainable_state()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert (more.history, more.best_step) == (fitted.history, fitted.best_step)


def test_states_are_written_by_the_clock_where_no_number_is_given(tiny, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(training, "save_run", lambda path, run: saved.append(run.step))
    machine = Machine(state=tmp_path / "state.pt")
    fit(started(), tiny, 0, CONFIG, progress=False, machine=machine)
    assert saved == [6]
    monkeypatch.setattr(training, "_SAVE_SECONDS", 0)
    fit(started(), tiny, 0, CONFIG, progress=False, machine=machine)
    assert saved == [6, 1, 2, 3, 4, 5, 6]


def test_it_does_start_from_the_state_and_not_from_the_beginning(tiny, stopped):
    steps = []
    fit(
        started(),
        tiny,
        0,
        CONFIG,
        progress=False,
        on_step=lambda step, row: steps.append(step),
        machine=Machine(state=stopped, save_every=2),
    )
    assert steps == [5, 6]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"config": replace(CONFIG, steps=8)}, "training.steps was 6, is 8"),
        (
            {"config": replace(CONFIG, losses=replace(CONFIG.losses, lambda_r=10))},
            r"training.losses.lambda_r was 1.0, is 10",
        ),
        ({"protocol": Protocol("any")}, "protocol.list_rule was grid, is any"),
        ({"split": "val"}, "split was train, is val"),
    ],
    ids=["steps", "lambda", "rule", "split"],
)
def test_another_run_is_refused_and_says_what_differs(tiny, stopped, change, named):
    before = stopped.read_bytes()
    with pytest.raises(InputError, match=named):
        run(tiny, stopped, **change)
    assert stopped.read_bytes() == before


def test_another_model_is_refused(tiny, stopped):
    with pytest.raises(InputError, match=r"network\.features was 8, is 16"):
        run(tiny, stopped, model=tiny_model(features=16))


@pytest.mark.parametrize("content", [b"", b"not a state"], ids=["empty", "text"])
def test_a_damaged_state_is_named(tiny, tmp_path, content):
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        run(tiny, path)
    assert path.read_bytes() == content


def test_a_checkpoint_is_no_state(tiny, trained):
    with pytest.raises(InputError, match="is not the state of a run"):
        run(tiny, trained.checkpoint)


@pytest.mark.parametrize("options", [{"optimizer": "adam"}, {"schedule": "decay"}], ids=str)
def test_the_released_optimizer_and_schedule_go_on_as_well(tiny, tmp_path, options):
    last = replace(CONFIG, held_out=0)
    config = replace(last, **options)
    whole, _ = run(tiny, config=config)
    with pytest.raises(Stop):
        run(tiny, tmp_path / "state.pt", stop_after=3, config=config)
    again, _ = run(tiny, tmp_path / "state.pt", config=config)
    plain, _ = run(tiny, config=last)
    a, b, c = (m.trainable_state() for m in (whole, again, plain))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)
