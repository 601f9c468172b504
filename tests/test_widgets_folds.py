import numpy as np
import pytest
from helpers import CLASSES
from PIL import Image
from touched import Sent, decoded

from ltm_edu import figures, widgets
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import novel_classes


def test_the_page_gets_all_classes_and_which_are_novel_in_each_fold(tiny):
    sent = Sent(widgets.fold_browser(tiny, tiny.index("val")))
    assert (sent["kind"], sent["classes"]) == ("folds", list(CLASSES))
    assert sent["novel"] == [list(novel_classes(fold, len(CLASSES))) for fold in range(4)]
    assert sorted(c for novel in sent["novel"] for c in novel) == list(range(1, len(CLASSES) + 1))


def test_each_class_has_its_picture(tiny):
    sent, crops = (
        Sent(widgets.fold_browser(tiny, tiny.index("val"))),
        figures.class_crops(tiny, tiny.index("val")),
    )
    for c, text in enumerate(sent["crops"], start=1):
        difference = np.abs(decoded(text).astype(int) - crops[c]).mean()
        others = [np.abs(decoded(text).astype(int) - p).mean() for k, p in crops.items() if k != c]
        assert difference < min(others)


def test_a_class_shows_at_most_so_many_pictures_and_they_show_it(tiny):
    index = tiny.index("val")
    for pictures in (1, 2):
        sent = Sent(widgets.fold_browser(tiny, index, pictures=pictures))
        assert {len(listed) for listed in sent["pictures"]} == {pictures}
    name = index.names[int(np.flatnonzero(index.pixels[:, 0])[0])]
    whole = figures.tinted(tiny.image(name), tiny.mask(name) == 1)
    small = decoded(sent["pictures"][0][0])
    resized = np.asarray(Image.fromarray(whole).resize(small.shape[1::-1]))
    assert small.shape[0] == 150
    assert np.abs(small.astype(int) - resized).mean() < 10


def test_a_class_without_pictures_has_none(voc):
    for path in (voc / "SegmentationClass").glob("val_coin_*.png"):
        mask = np.array(Image.open(path))
        mask[mask == 5] = 0
        Image.fromarray(mask).save(path)
    dataset = VocFolder.open(voc)
    sent = Sent(widgets.fold_browser(dataset, dataset.index("val")))
    assert [len(listed) > 0 for listed in sent["pictures"]] == [c != "coin" for c in CLASSES]


def test_a_number_of_pictures_below_one_is_named(tiny):
    with pytest.raises(ValueError, match="pictures is 0: it must be 1 or more"):
        widgets.fold_browser(tiny, tiny.index("val"), pictures=0)
