"""The benchmark at tiny sizes: the two ways agree, files are whole. Nothing here is about time."""

import json
import re

import pytest
import torch
from helpers import tiny_model
from PIL import Image

from ltm_edu import bench, cli, equations
from ltm_edu.bench import How, Row, Sizes
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import draw_episodes, find_pairs
from ltm_edu.evaluation import score_model
from ltm_edu.features.cache import FeatureCache
from ltm_edu.scores import IoUCounter

TINY = Sizes((9, 16), (4, 40), 1, 2, 6, 2, 4, 0, 3, 6)


@pytest.fixture
def few(monkeypatch, tiny):
    """The command, on the tiny folder with the tiny model."""
    monkeypatch.setattr(bench, "QUICK", TINY)
    monkeypatch.setattr(bench.suite, "LTM", lambda config: tiny_model())
    return str(tiny.root)


# Peak memory


def test_peak_memory_is_what_lives_at_one_moment():
    x = torch.rand(1000)

    def way():
        y = x * 2  # 4,000 bytes
        z = y + 1  # 8,000 with y
        del y
        return (z * 3).sum()  # z and its product: 8,000; then 4 more

    assert bench.peak_bytes(way) == 8004


def test_inputs_and_views_take_no_memory():
    x = torch.rand(100, 10)
    assert bench.peak_bytes(lambda: x.T.flatten(0, 0)[3]) == 0
    assert bench.peak_bytes(lambda: x.add_(1)) == 0


def test_what_backward_keeps_is_counted():
    x = torch.rand(1000, requires_grad=True)
    with_gradient = bench.peak_bytes(lambda: torch.autograd.grad(x.exp().sin().sum(), x))
    with torch.no_grad():
        assert bench.peak_bytes(lambda: x.exp().sin().sum()) < with_gradient


def test_attention_without_R_takes_memory_that_grows_with_N_and_not_its_square():
    small, large = (bench.attention_row(N, 16, repeats=1) for N in (200, 400))
    assert large.our_bytes < 2.2 * small.our_bytes
    assert large.plain_bytes > 3 * small.plain_bytes


# The two ways agree


@pytest.mark.parametrize("N", [9, 60])
def test_attention_rows_compare_equal_results(N):
    row = bench.attention_row(N, 12, repeats=1)
    assert row.difference < 1e-5
    assert row.sizes == {"N": N, "D": 12, "what": "attention"}
    assert row.ratio == row.plain_seconds / row.our_seconds > 0


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_loss_rows_compare_equal_results(backward, batch):
    row = bench.loss_row(30, 12, backward, repeats=1, how=How(batch=batch))
    assert row.difference < 1e-5
    assert ("backward" in row.case, "batch 3" in row.case) == (backward, batch == 3)


def test_a_wrong_short_cut_would_show_in_the_row(monkeypatch):
    wrong = equations.relationship_loss_from_embeddings
    monkeypatch.setattr(
        equations, "relationship_loss_from_embeddings", lambda *given: 1.01 * wrong(*given)
    )
    assert bench.loss_row(9, 4, repeats=1).difference == pytest.approx(0.01, rel=1e-3)


def test_scoring_one_by_one_is_scoring_from_the_cache(tiny):
    model = tiny_model().train()
    episodes = draw_episodes(find_pairs(tiny.index("val"), (1, 2)), 1, 7, 0)
    counter = IoUCounter()
    times = bench.one_by_one(model, tiny, episodes.episodes, counter)
    cache = FeatureCache(model, tiny, episodes.names(), progress=False)
    assert counter == score_model(model, cache, episodes)
    assert model.training
    assert len(times) == 7


def test_an_evaluation_row_scores_the_same_both_ways(tiny, monkeypatch):
    count, counted = VocFolder.count, []
    monkeypatch.setattr(
        VocFolder, "count", lambda data, names: counted.append(1) or count(data, names)
    )
    row = bench.evaluation_row(tiny_model(), VocFolder.open(tiny.root), episodes=8, measured=3)
    assert len(counted) == 1 + 2  # ours reads the masks each time, as the first run of a user does
    assert row.difference < 1e-3
    assert row.sizes == {"episodes": 8, "pictures": 8, "measured": 3}


def test_a_seeds_row_scores_each_list_the_same_both_ways(tiny, monkeypatch):
    caches = []

    class Counted(FeatureCache):
        def __init__(self, *given, **options):
            caches.append(self)
            super().__init__(*given, **options)

    monkeypatch.setattr("ltm_edu.bench.scoring.FeatureCache", Counted)
    monkeypatch.setattr("ltm_edu.evaluation.FeatureCache", Counted)
    row = bench.seeds_row(tiny_model(), tiny, episodes=9, pictures=5)
    assert len(caches) == 1 + 5 + 1  # the warm-up, one for each list, and one for all lists
    assert row.difference < 1e-3
    assert row.sizes["pictures"] <= 5
    assert row.sizes["seeds"] == 5


def test_a_training_row_has_the_same_loss_both_ways_and_moves_no_weight(tiny):
    model = tiny_model()
    before = {k: v.clone() for k, v in model.named_parameters()}
    row = bench.training_row(model, tiny, repeats=1, how=How(batch=3))
    assert row.difference < 1e-5
    assert all(torch.equal(v, before[k]) for k, v in model.named_parameters())
    assert row.sizes["pairs"] == 48  # 8 classes, 6 pictures each
    assert row.sizes["arithmetic_allows"] > 1
    assert "arithmetic allows" in row.note


def test_a_training_row_in_half_precision_is_set_against_float32(tiny):
    model = tiny_model(query_scales=(0.7, 1.0, 1.3))
    row = bench.training_row(model, tiny, repeats=1, how=How(batch=2, dtype=torch.bfloat16))
    assert 0 < row.difference < 0.1
    assert row.sizes["query_scales"] == [0.7, 1.0, 1.3]


def test_an_epoch_is_counted_here_and_estimated_elsewhere():
    sizes = {"batch": 3, "operations": 6e12}
    row = bench.epoch_row(Row("training", "step", 5.0, 2.0, 0.0, sizes=sizes, note="as is"))
    assert row.sizes["epoch_seconds"] == 2091 * 2
    assert row.sizes["epoch_teraflop"] == 2091 * 6
    # 12,546 TFLOP in 6 seconds are 2,091 a second, 2.11 times the card's peak
    assert "as is; an epoch of 6,273 pairs: 4182 s here (12,546 TFLOP); estimate" in row.note
    assert "2091 TFLOP/s, 211% of" in row.note


def test_data_rows_compare_equal_results(tiny):
    index, drawn = bench.data_rows(tiny, count=5, repeats=1)
    assert (index.difference, drawn.difference) == (0, 0)
    assert (index.sizes["count"], drawn.sizes["count"]) == (5, 2)


def test_the_gpu_rows_run_anywhere(tiny):
    given = dict(repeats=1, model=tiny_model, compiled=(False,), side=16)
    rows = list(bench.gpu_rows([(9, 4)], tiny, How(batch=2), **given))
    assert {row.part for row in rows} == {"gpu"}
    assert len(rows) == 2 * 4  # float32 and bfloat16; attention, L_r twice, a step
    assert all(row.difference < (0.1 if "bfloat16" in row.case else 1e-5) for row in rows)
    assert "% of a 16 matmul's" in rows[3].note
    assert "estimate" not in rows[3].note  # there it is measured
    assert torch.get_float32_matmul_precision() == "highest"  # as it was


# Masks without pictures


def test_masks_are_found_in_a_folder_of_their_own(tmp_path, tiny):
    for name in tiny.names("val")[:3]:
        Image.fromarray(tiny.mask(name)).save(tmp_path / f"{name}.png")
    found = bench.open_masks(tmp_path)
    assert len(found.names("all")) == 3
    assert (found.index("all").pixels.sum(axis=1) > 0).all()
    assert len(bench.open_masks(tiny.root).names("all")) == len(tiny.names("all"))


def test_frozen_features_in_batches_are_those_of_single_pictures():
    row = bench.features_row(3, 97, 1)
    assert row.difference < 1e-4
    assert row.sizes == {"images": 3, "size": 97}


# The command


def test_the_command_prints_a_table_and_writes_both_files(few, tmp_path, capsys):
    out = tmp_path / "new" / "bench"
    given = ["bench", "--quick", "--data", few, "--out", str(out)]
    assert cli.main([*given, *(f"--only={part}" for part in bench.PARTS)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert {p.name for p in out.iterdir()} == {"bench.json", "bench.png"}
    saved = json.loads((out / "bench.json").read_text())
    assert saved["sizes"]["N"] == [9, 16]
    assert len(saved["rows"]) == 4 + 8 + 1 + 2 + 1 + 2
    for row in saved["rows"]:
        assert row["ratio"] == row["plain_seconds"] / row["our_seconds"]
        (line,) = (x for x in printed if x.startswith(row["case"].ljust(44)))
        assert f"{row['ratio']:.2f}" in line
    with Image.open(out / "bench.png") as picture:
        assert picture.size[0] > 800
    assert printed[-2:] == [str(out / "bench.json"), str(out / "bench.png")]


def test_the_machine_is_named_without_host_or_path(few, tmp_path):
    bench.run(tmp_path / "out", TINY, ["attention"])
    about = json.loads((tmp_path / "out" / "bench.json").read_text())["machine"]
    assert {"processor", "cores", "memory_GB", "threads", "torch"} <= set(about)
    assert not re.search(r"/\w", " ".join(map(str, about.values())))
    assert about["torch"] in bench.head(about, TINY)


def test_a_busy_machine_is_said_so():
    about = {**bench.machine(), "cores": 2, "load": 7.5}
    assert "the machine is busy (load 7.5)" in bench.head(about, TINY)
    assert "busy" not in bench.head({**about, "load": None, "memory_GB": None}, TINY)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--data", "{tmp}/nowhere"), "nowhere is not a folder"),
        (("--masks", "{tmp}", "--only", "data"), "holds no masks"),
        (("--only", "gpu"), "needs a GPU"),
        (("--only", "attention", "--out", "{tmp}/file/out"), "cannot write"),
    ],
)
def test_a_mistake_is_one_line(given, says, few, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "file").write_text("")
    given = [word.replace("{tmp}", str(tmp_path)) for word in given]
    if "--data" not in given:
        given += ["--data", few]
    assert cli.main(["bench", "--quick", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ltm-edu: ")
    assert says in line


def test_the_command_knows_every_part():
    assert cli._BENCH_PARTS == bench.PARTS


def test_a_row_is_a_line():
    row = Row("loss", "L_r", 2.0, 0.5, 1e-6, 3_000_000, 20_000, note="by hand")
    assert str(row).split() == ["L_r", "4.00", "2.00", "s", "500", "ms", "3.00", "0.02", "1e-06", "by", "hand"]  # fmt: skip # noqa: E501
