"""The paper's numbers, and ours above them."""

import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from ltm_edu.cli import main
from ltm_edu.episodes import Protocol
from ltm_edu.scores import (
    PAPER_MIOU,
    Results,
    Score,
    beside_the_paper,
    load_results,
    mean_over_folds,
    save_results,
)
from ltm_edu.store.errors import InputError

PROTOCOL = Protocol(episodes=10, seeds=(0, 1))


def result(fold, shift=0.0, dataset="pascal5i", protocol=PROTOCOL):
    of_seeds = (0.5 + fold / 10 + shift, 0.52 + fold / 10 + shift)
    ours = Score("ours", sum(of_seeds) / 2, 0.01, 0.7, 0.6, {f"class {fold}": 0.5}, of_seeds)
    floor = Score("all foreground", 0.2, 0.0, 0.1, 0.2, {f"class {fold}": 0.2}, (0.2, 0.2))
    return Results(dataset, "val", fold, protocol, (ours, floor))


FOLDS = [result(f) for f in range(4)]


@pytest.mark.parametrize(
    ("method", "shots"), [(m, k) for m, printed in PAPER_MIOU.items() for k in printed]
)
def test_the_papers_means_are_the_means_of_its_folds(method, shots):
    *folds, mean = PAPER_MIOU[method][shots]
    assert len(folds) == 4
    off = abs(mean - sum(folds) / 4)
    if (method, shots) == ("LogReg", 5):
        assert off == pytest.approx(2.4, abs=0.1)  # 25.9 stands where 35.9 would give the mean
    else:
        assert off < 0.11  # as printed, rounded or cut


def test_the_wheel_holds_the_published_scores():
    root = Path(__file__).resolve().parent.parent
    options = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    data = {p.name for p in files("ltm_edu").iterdir() if p.is_file() and p.suffix != ".py"}
    assert data == set(options["setuptools"]["package-data"]["ltm_edu"]) == {"published.json"}


def row(text, method):
    return next(line for line in text.splitlines() if line.startswith(method)).split()


def test_folds_stand_in_their_columns_with_their_protocol_above_the_papers():
    text = beside_the_paper([*FOLDS[::-1], mean_over_folds(FOLDS)])
    assert str(PROTOCOL) in text.splitlines()[0]
    assert row(text, "ours")[1:7] == ["51.0", "61.0", "71.0", "81.0", "66.0", "70.0"]
    assert row(text, "LTM")[1:] == ["52.8", "69.6", "53.2", "52.3", "57.0", "71.8"]
    assert "+- 1.0 over the seeds" in text
    assert "not comparable" not in text


def test_a_fold_that_was_not_scored_is_a_dash():
    text = beside_the_paper([FOLDS[2]])
    assert row(text, "ours")[1:] == ["-", "-", "71.0", "-", "-", "-"]


def test_five_shots_stand_above_the_papers_five_shots_and_two_above_none():
    five = beside_the_paper([result(0, protocol=replace(PROTOCOL, shots=5))])
    assert row(five, "LTM")[1:] == ["57.9", "69.9", "56.9", "57.5", "60.6", "74.6"]
    assert "Siamese" not in five
    two = beside_the_paper([result(0, protocol=replace(PROTOCOL, shots=2))])
    assert "no 2-shot row" in two


def test_another_dataset_is_not_compared():
    text = beside_the_paper([result(0, dataset="emoji5i")])
    assert "not comparable" in text


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ([], "no results"),
        ([FOLDS[0], result(1, dataset="other")], "differ in dataset"),
        ([FOLDS[0], result(1, protocol=replace(PROTOCOL, seeds=(0,)))], "differ in dataset, split"),
        ([FOLDS[0], result(0, 0.1)], "fold 0 occurs twice"),
    ],
    ids=["none", "dataset", "protocol", "twice"],
)
def test_what_does_not_belong_in_one_table_is_refused(results, says):
    with pytest.raises(InputError, match=says):
        beside_the_paper(results)


def test_folds_under_other_rules_have_no_mean():
    other = result(1, protocol=replace(PROTOCOL, novel_images="drop"))
    with pytest.raises(InputError, match="fold 1 and fold 0 differ in dataset, split or protocol"):
        mean_over_folds([FOLDS[0], other, *FOLDS[2:]])


def test_results_come_back_as_they_were_saved(tmp_path):
    both = [*FOLDS, mean_over_folds(FOLDS)]
    save_results(tmp_path / "r.json", both)
    assert load_results(tmp_path / "r.json") == both


@pytest.mark.parametrize("content", ["", "[1]", '[{"fold": 0}]', "{}x", '{"a": 1}'])
def test_a_file_that_holds_no_results_is_named(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=r"r\.json holds no results"):
        load_results(tmp_path / "r.json")


def test_the_command_prints_the_table_and_draws_the_bars(tmp_path, capsys):
    for f in range(4):
        save_results(tmp_path / f"{f}.json", [FOLDS[f]])
    files = [str(tmp_path / f"{f}.json") for f in range(4)]
    assert main(["results", *files, "--png", str(tmp_path / "bars.png")]) == 0
    out = capsys.readouterr().out
    assert row(out, "ours")[5] == "66.0"  # four folds make their mean
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    assert main(["results", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_one_shot_and_five_stand_in_a_table_each(tmp_path, capsys):
    five = [result(f, 0.1, protocol=replace(PROTOCOL, shots=5)) for f in range(4)]
    save_results(tmp_path / "1.json", FOLDS)
    save_results(tmp_path / "5.json", five)
    files = [str(tmp_path / "1.json"), str(tmp_path / "5.json")]
    assert main(["results", *files]) == 0
    first, second = capsys.readouterr().out.split("printed in the paper")[:2]
    assert row(first, "ours")[5] == "66.0"
    assert row(second, "ours")[5] == "76.0"
    assert row(second, "LTM")[5] == "57.0"  # the 1-shot rows end above the second table
    assert main(["results", *files, "--png", str(tmp_path / "bars.png")]) == 2
    assert "one number of shots" in capsys.readouterr().err
    assert not (tmp_path / "bars.png").exists()


def test_a_row_that_a_fold_lacks_has_no_mean():
    short = replace(FOLDS[3], scores=FOLDS[3].scores[1:])
    text = beside_the_paper([*FOLDS[:3], short])
    assert row(text, "ours")[4:] == ["-", "-", "-"]
    assert row(text, "all")[6] == "20.0"
