"""Folds, rules and episodes: the published counts, and what every list promises."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from helpers import refused

from ltm_edu.datasets.voc import VOC_CLASSES, MaskIndex
from ltm_edu.episodes import (
    Episode,
    EpisodeList,
    Protocol,
    base_classes,
    class_roles,
    count_asked,
    draw_episodes,
    drop_images,
    find_pairs,
    fold_label,
    images_by_class,
    novel_classes,
)
from ltm_edu.store.errors import InputError

# Folds


@pytest.mark.parametrize(
    ("fold", "names"),
    [
        (0, "aeroplane bicycle bird boat bottle"),
        (1, "bus car cat chair cow"),
        (2, "diningtable dog horse motorbike person"),
        (3, "pottedplant sheep sofa train tvmonitor"),
    ],
)
def test_a_fold_of_voc_tests_five_neighbours(fold, names):
    assert [VOC_CLASSES[c - 1] for c in novel_classes(fold)] == names.split()


@pytest.mark.parametrize("n", [8, 80, 19])
def test_other_numbers_of_classes_are_dealt_out_in_turn(n):
    dealt: list[list[int]] = [[], [], [], []]
    for i in range(n):
        dealt[i % 4].append(i + 1)
    assert [list(novel_classes(f, n)) for f in range(4)] == dealt


@pytest.mark.parametrize("n", [4, 20, 80])
def test_each_class_is_novel_in_one_fold_and_base_in_the_others(n):
    for fold in range(4):
        novel, base = set(novel_classes(fold, n)), set(base_classes(fold, n))
        assert not novel & base
        assert novel | base == set(range(1, n + 1))
    counts = Counter(c for fold in range(4) for c in novel_classes(fold, n))
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("fold", [4, -1, 17])
def test_a_fold_over_3_is_refused(fold):
    with pytest.raises(InputError, match=f"fold {fold}: there are folds 0, 1, 2 and 3"):
        novel_classes(fold)


def test_fewer_than_four_classes_make_no_folds():
    with pytest.raises(InputError, match="3 classes"):
        novel_classes(0, 3)


def test_named_classes_are_novel_in_any_order_and_the_others_are_base():
    classes = ("disc", "square", "tower")
    for names in (("tower", "disc"), ("disc", "tower")):
        roles = class_roles(names, classes)
        assert (roles.novel, roles.base, roles.asked) == ((1, 3), (2,), (1, 3))
    assert class_roles(None, classes) == ((), (1, 2, 3))
    assert class_roles(None, classes).asked == (1, 2, 3)
    for fold in range(4):
        assert class_roles(fold, VOC_CLASSES) == (novel_classes(fold), base_classes(fold))


def test_a_class_that_does_not_exist_is_named_with_those_that_do():
    refused(lambda: class_roles(("disc", "disk"), ("disc", "wall")), "'disk'", "disc, wall")


def test_folds_have_a_label_each():
    labels = [fold_label(f) for f in (0, 3, ("disc", "wall"), ("disc",), None, "mean")]
    assert labels == ["0", "3", "disc+wall", "disc", "all", "mean"]


# The protocol


def test_the_protocol_prints_every_one_of_its_rules():
    text = str(Protocol("area", "drop", shots=5, episodes=77, seeds=(3, 9)))
    for part in ("area", "drop", "5-shot", "77 episodes", "3,9", "original size", "255"):
        assert part in text


def test_a_protocol_survives_plain_values():
    protocol = Protocol("any", "drop", 5, 10, (1, 2))
    assert Protocol.from_dict(protocol.as_dict()) == protocol


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"list_rule": "most"}, "grid, area or any"),
        ({"novel_images": "hide"}, "keep, drop or void"),
        ({"shots": 0}, "at least 1"),
        ({"episodes": 0}, "at least 1"),
    ],
)
def test_an_unknown_rule_is_refused(options, named):
    with pytest.raises(InputError, match=named):
        Protocol(**options)


# The three rules


def index_of(*masks: np.ndarray) -> MaskIndex:
    """Count masks of four classes by plain loops."""
    pixels = np.array([[(m == c).sum() for c in range(1, 5)] for m in masks])
    grid = np.array([[(m[1::32, 1::32] == c).sum() for c in range(1, 5)] for m in masks])
    return MaskIndex(tuple(f"m{i}" for i in range(len(masks))), pixels, grid)


@pytest.fixture
def three_masks() -> MaskIndex:
    """A speck; a class on three grid points and one on none, both small; a large one on two."""
    speck, three, two = np.zeros((3, 100, 100), np.uint8)
    speck[5, 5] = 1
    three[40:60] = 2  # grid points are in rows 1, 33, 65 and 97
    three[1, [1, 33, 65]] = 2
    three[70:90] = 3
    two[1, [1, 33]] = 1
    two[34:64].ravel()[:2046] = 1
    return index_of(speck, three, two)


def test_the_fixture_is_what_it_says(three_masks):
    assert three_masks.pixels[:, 0].tolist() == [1, 0, 2048]
    assert three_masks.pixels[1].tolist() == [0, 2003, 2000, 0]
    assert three_masks.grid.tolist() == [[0] * 4, [0, 3, 0, 0], [2, 0, 0, 0]]


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("any", [("m0", 1), ("m1", 2), ("m1", 3), ("m2", 1)]),
        ("area", [("m2", 1)]),
        ("grid", [("m1", 2)]),
    ],
)
def test_each_rule_keeps_its_own_pairs(three_masks, rule, kept):
    assert find_pairs(three_masks, (1, 2, 3, 4), rule) == kept


def test_area_takes_2048_pixels_and_not_one_less():
    mask = np.zeros((64, 64), np.uint8)
    mask.ravel()[:2047] = 1
    assert find_pairs(index_of(mask), (1,), "area") == []
    mask.ravel()[2047] = 1
    assert find_pairs(index_of(mask), (1,), "area") == [("m0", 1)]


def test_only_the_classes_asked_for_make_pairs(three_masks):
    assert find_pairs(three_masks, (3, 4), "any") == [("m1", 3)]


def test_an_image_with_one_pixel_of_a_novel_class_is_dropped(three_masks):
    assert drop_images(three_masks, (1,)) == {"m0", "m2"}
    assert drop_images(three_masks, (2, 4)) == {"m1"}
    assert drop_images(three_masks, (4,)) == set()


# PASCAL-5i for real


PAIRS = {"any": (440, 514, 804, 390), "area": (365, 467, 734, 357)}
IMAGES = {"any": (433, 479, 647, 354), "area": (364, 445, 592, 336)}


@pytest.mark.parametrize("rule", ["any", "area"])
def test_pascal_5i_has_the_published_number_of_pairs_and_images(pascal_val, rule):
    found = [find_pairs(pascal_val, novel_classes(f), rule) for f in range(4)]
    assert tuple(map(len, found)) == PAIRS[rule]
    assert tuple(len({n for n, _ in pairs}) for pairs in found) == IMAGES[rule]


def test_the_grid_rule_gives_1866_pairs_on_pascal_5i(pascal_val):
    found = [find_pairs(pascal_val, novel_classes(f), "grid") for f in range(4)]
    assert sum(map(len, found)) == 1866
    # HSNet's lists, made by an older rounding, differ by 5 missing and 3 extra in all.
    for ours, listed in zip(found, (346, 451, 725, 346), strict=True):
        assert abs(len(ours) - listed) <= 5


# Episodes

PAIRS_OF_TWO = [(f"a{i}", 1) for i in range(6)] + [(f"b{i}", 2) for i in range(9)] + [("a0", 2)]


@pytest.mark.parametrize("shots", [1, 5])
def test_supports_are_distinct_show_the_class_and_are_never_the_query(shots):
    pools = images_by_class(PAIRS_OF_TWO)
    episodes = draw_episodes(PAIRS_OF_TWO, shots, 200, seed=0)
    assert {e.class_id for e in episodes} == {1, 2}
    for e in episodes:
        assert len(set(e.supports)) == len(e.supports) == shots
        assert e.query not in e.supports
        assert {e.query, *e.supports} <= set(pools[e.class_id])


def test_every_pair_is_a_query_once_before_any_is_twice():
    episodes = draw_episodes(PAIRS_OF_TWO, 1, 40, seed=0).episodes
    for start in (0, 16):
        turn = [(e.query, e.class_id) for e in episodes[start : start + 16]]
        assert sorted(turn) == sorted(PAIRS_OF_TWO)
    assert len({(e.query, e.class_id) for e in episodes[32:]}) == 8


def test_every_other_picture_serves_as_support():
    episodes = draw_episodes(PAIRS_OF_TWO, 1, 2000, seed=0)
    seen: dict[str, set[str]] = {}
    for e in episodes:
        if e.class_id == 1:
            seen.setdefault(e.query, set()).update(e.supports)
    names = {f"a{i}" for i in range(6)}
    assert seen == {n: names - {n} for n in names}


def test_the_same_seed_draws_the_same_list_and_another_one_another():
    first = draw_episodes(PAIRS_OF_TWO, 3, 50, seed=4)
    np.random.seed(99)  # no global state is read
    assert draw_episodes(PAIRS_OF_TWO, 3, 50, seed=4) == first
    assert draw_episodes(PAIRS_OF_TWO, 3, 50, seed=5).episodes != first.episodes


def test_drawing_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()
    draw_episodes(PAIRS_OF_TWO, 1, 10, seed=0)
    assert np.array_equal(np.random.get_state()[1], before)


def test_a_shorter_list_is_the_start_of_a_longer_one():
    long = draw_episodes(PAIRS_OF_TWO, 2, 12, seed=1).episodes
    queries = [e.query for e in draw_episodes(PAIRS_OF_TWO, 2, 5, seed=1)]
    assert queries == [e.query for e in long[:5]]


def test_a_class_with_too_few_pictures_is_left_out():
    pairs = [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 2)]
    assert {e.class_id for e in draw_episodes(pairs, 2, 20, seed=0)} == {2}


@pytest.mark.parametrize(("pairs", "most"), [([], 0), ([("a", 1), ("b", 1)], 2)])
def test_more_shots_than_pictures_are_refused_with_the_number_there_is(pairs, most):
    with pytest.raises(InputError, match=f"2 shots .* takes 3 images .* is {most}; use fewer"):
        draw_episodes(pairs, 2, 10, seed=0)


def plain_draw(pairs, shots, count, seed):
    """The rule as a plain loop, whatever the number of pictures."""
    by_class = images_by_class(pairs)
    queries = [(name, c) for name, c in pairs if len(by_class[c]) > shots]
    rng, episodes = np.random.default_rng(seed), []
    while True:
        for i in rng.permutation(len(queries)):
            if len(episodes) == count:
                return episodes
            name, c = queries[i]
            others = [n for n in by_class[c] if n != name]
            chosen = rng.choice(len(others), shots, replace=False)
            episodes.append(Episode(c, name, tuple(others[j] for j in chosen)))


def distinct(pairs, c, shots):
    """Every episode of a class, by going through all orders of its pictures."""
    names = images_by_class(pairs)[c]
    return {(p[0], frozenset(p[1:])) for p in permutations(names, shots + 1)}


@pytest.mark.parametrize(("shots", "count"), [(1, 10), (1, 80), (2, 160), (5, 16)])
def test_where_pictures_are_plenty_a_list_is_that_of_the_plain_loop(shots, count):
    """The seeds that published numbers were drawn with go on to give the same episodes."""
    for seed in range(3):
        drawn = draw_episodes(PAIRS_OF_TWO, shots, count, seed)
        assert list(drawn) == plain_draw(PAIRS_OF_TWO, shots, count, seed)


@pytest.mark.parametrize("shots", [1, 2])
def test_a_class_with_few_pictures_has_each_distinct_episode_once(shots):
    pairs = [(f"a{i}", 1) for i in range(3)] + [(f"b{i}", 2) for i in range(30)]
    for seed in range(3):
        drawn = draw_episodes(pairs, shots, 200, seed)
        few = [(e.query, frozenset(e.supports)) for e in drawn if e.class_id == 1]
        assert len(few) == len(set(few))
        assert set(few) == distinct(pairs, 1, shots)
        others = [e for e in drawn if e.class_id == 2]
        assert others == [e for e in plain_draw(pairs, shots, 200, seed) if e.class_id == 2]


def test_three_pictures_are_six_episodes_however_many_are_asked_for():
    pairs = [(n, 1) for n in "abc"]
    assert len(draw_episodes(pairs, 1, 5000, seed=0)) == 6
    assert len(draw_episodes(pairs, 1, 6, seed=0)) == 6
    assert len(draw_episodes(pairs, 1, 4, seed=0)) == 4


def test_what_a_class_is_asked_about_is_counted_as_loops_count():
    pairs = [(f"a{i}", 1) for i in range(3)] + [(f"b{i}", 2) for i in range(30)] + [("c", 3)]
    lists = [draw_episodes(pairs, 2, 100, seed) for seed in (0, 1)]
    asked = count_asked(lists, pairs, (1, 2, 3, 4), 2)
    for c, pictures in ((1, 3), (2, 30), (3, 1), (4, 0)):
        counts = tuple(sum(e.class_id == c for e in part) for part in lists)
        assert (asked[c].pictures, asked[c].episodes) == (pictures, counts)
    assert asked[1].distinct == len(distinct(pairs, 1, 2)) == 3
    assert asked[2].distinct == len(distinct(pairs, 2, 2))
    assert [c for c in asked if asked[c].once] == [1]
    again = EpisodeList((*lists[0].episodes, Episode(1, "a0", ("a2", "a1"))), 0)
    assert not count_asked([again], pairs, (1,), 2)[1].once  # one of them twice


def test_a_list_written_by_hand_knows_its_lines(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(
        '{"episodes":\n\n [[1, "a", "b"], [1, "b",\n "a"],\n\n[2, "c", "d"]],\n"seed": 3}'
    )
    episodes = EpisodeList.load(path)
    assert episodes == EpisodeList(
        (Episode(1, "a", ("b",)), Episode(1, "b", ("a",)), Episode(2, "c", ("d",))), 3
    )
    assert [episodes.place(i) for i in range(3)] == [
        f"{path}, line 3 (episode 1 of 3)",
        f"{path}, line 3 (episode 2 of 3)",
        f"{path}, line 6 (episode 3 of 3)",
    ]


@pytest.mark.parametrize(
    "row", ['"disc"', "[1]", '[1, "a"]', '["1", "a", "b"]', '[true, "a", "b"]', "[1, 2, 3]", "[]"]
)
def test_a_row_that_is_no_episode_is_named_with_its_line(tmp_path, row):
    path = tmp_path / "list.json"
    path.write_text(f'{{"seed": 0, "episodes": [\n[1, "a", "b"],\n{row}\n]}}')
    says = ("cannot be read as a list of episodes", f"line 3: {row} is not", "class id")
    refused(lambda: EpisodeList.load(path), str(path), *says)


def test_a_list_survives_its_file(tmp_path):
    episodes = draw_episodes(PAIRS_OF_TWO, 3, 20, seed=2)
    path = tmp_path / "new" / "list.json"
    episodes.save(path)
    assert EpisodeList.load(path) == episodes
    assert [p.name for p in path.parent.iterdir()] == ["list.json"]


def test_a_list_names_every_picture_once():
    episodes = EpisodeList((Episode(1, "a", ("b", "c")), Episode(2, "c", ("a", "d"))), 0)
    assert episodes.names() == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[1, 2",
        '{"seed": 1}',
        '{"seed": 1, "episodes": [3]}',
        '{"seed": 0, "episodes": {"a": 1}}',
        '{"seed": 0, "episodes": "abc"}',
        '{"seed": 0, "\\u0065pisodes": []}',
        '{"seed": 0, "episodes": [[1, "a", "b"]], "episodes": [[1, "a", "b"], [1, "b", "a"]]}',
        '{"seed": 1e999, "episodes": []}',
        '{"seed": 1.5, "episodes": []}',
    ],
)
def test_a_damaged_list_is_named(tmp_path, text):
    path = tmp_path / "list.json"
    if text is not None:
        path.write_text(text)
    refused(lambda: EpisodeList.load(path), f"{path} cannot be read as a list of episodes")
