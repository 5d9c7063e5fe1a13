"""Clusters of near-duplicate texts: what is the same, what is nearly so, and what is not."""

import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback import clusters as clustering
from feedback import minhash
from feedback.clusters import Clusters
from feedback.minhash import MISSED, Hashed, band_hashes, banding, grams_of
from feedback.near_duplicates import letters, normalised, similarity, trigrams
from feedback.sketches import at_most, sketches

POEM = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
LONG = "我想请你写一首关于秋天的七言绝句，要有红叶、流水和远山，语气平静，最后一句要让人想起故乡。"


def clusters(folder, texts, threshold=0.85):
    """Rows to the smallest rows of their clusters; texts by row."""
    with Clusters(folder, threshold) as found:
        for row, text in texts.items():
            found.add(row, text)
        return dict(found.representatives())


# The same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write a poem.", "  write A\n poem. "),
        ("Ｗｒｉｔｅ　ａ　ｐｏｅｍ．", "write a poem."),
        ("你好，世界！", "你好, 世界!"),
        ("床前明月光。", "床前明月光."),
        ("“月”", '"月"'),
        ("mid–air", "mid-air"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("zero\u200bwidth", "zerowidth"),
        ("ｶﾞ", "ガ"),
    ],
)
def test_what_nobody_sees_makes_no_difference(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a red pear", "a red bear"),
        ("1+1", "1-1"),
        ("3.14", "314"),
        ("I like 🍎", "I like 🍌"),
        ("写一首诗", "写一首诗。"),
        ("", "."),
        ("नमस्ते", "नमस्त"),
    ],
)
def test_what_is_different_stays_different(one, other):
    assert normalised(one) != normalised(other)


# Nearly the same


def test_punctuation_at_the_edges_of_words_joins_texts(tmp_path):
    texts = {0: "写一首诗", 1: "写一首诗。", 2: "“写一首诗”", 3: "Write a poem!", 4: "write a poem"}

    assert clusters(tmp_path, texts) == {0: 0, 1: 0, 2: 0, 3: 3, 4: 3}


@pytest.mark.parametrize(
    ("one", "other"),
    [("1+1=2", "1-1=2"), ("3.14", "314"), ("I like 🍎", "I like 🍌"), ("नमस्ते", "नमस्त"), ("!", "?")],
)
def test_signs_that_mean_something_keep_texts_apart(tmp_path, one, other):
    assert clusters(tmp_path, {0: one, 1: other}) == {0: 0, 1: 1}


def test_a_changed_character_joins_long_texts_and_not_short_ones(tmp_path):
    texts = {0: LONG, 1: LONG.replace("秋", "春"), 2: "写一首关于秋天的诗", 3: "写一首关于春天的诗"}

    assert clusters(tmp_path, texts) == {0: 0, 1: 0, 2: 2, 3: 3}


def test_rows_are_connected_through_others(tmp_path):
    one = "".join(map(chr, range(0x4E00, 0x4E64)))  # a hundred characters
    two, three = one[4:] + "甲乙丙丁", one[8:] + "甲乙丙丁戊己庚辛"

    assert similarity(trigrams(letters(one)), trigrams(letters(three))) < 0.85
    assert clusters(tmp_path, {0: one, 1: two, 2: three}) == {0: 0, 1: 0, 2: 0}
    assert clusters(tmp_path, {0: one, 2: three}) == {0: 0, 2: 2}


def test_short_and_empty_texts_are_texts_too(tmp_path):
    texts = {3: "", 5: "  ", 7: "月", 9: "月", 11: "月光", 13: "\ud800", 15: "!!!"}

    assert clusters(tmp_path, texts) == {3: 3, 5: 3, 7: 7, 9: 7, 11: 11, 13: 13, 15: 15}
    assert clusters(tmp_path, {}) == {}


def test_the_threshold_decides(tmp_path):
    one, other = LONG, LONG.replace("红叶", "白云").replace("平静", "安宁")
    close = similarity(trigrams(letters(one)), trigrams(letters(other)))

    assert clusters(tmp_path, {0: one, 1: other}, close) == {0: 0, 1: 0}
    assert clusters(tmp_path, {0: one, 1: other}, close + 0.001) == {0: 0, 1: 1}
    with pytest.raises(ValueError, match=r"0\.5 to 1, not 0\.2"):
        Clusters(tmp_path, 0.2)


def test_nothing_stays_on_the_disk(tmp_path):
    clusters(tmp_path, {0: POEM, 1: LONG})

    assert list(tmp_path.iterdir()) == []


# The same whatever the order, and nothing is missed


def drifted(rng, count, length=60):
    """Texts of which many come from each other by small changes."""
    alphabet = "春江潮水连海平海上明月共潮生滟滟随波千万里何处春江无月明"
    texts = ["".join(rng.choices(alphabet, k=length))]
    while len(texts) < count:
        text = list(rng.choice(texts))
        for _ in range(rng.randrange(5)):
            text[rng.randrange(length)] = rng.choice(alphabet)
        texts.append(
            "".join(text) if rng.random() < 0.8 else "".join(rng.choices(alphabet, k=length))
        )
    return texts


def by_every_pair(texts, threshold):
    """The clusters that comparing each text with each gives."""
    smallest = list(range(len(texts)))
    grams = [trigrams(letters(text)) for text in texts]
    for one, other in combinations(range(len(texts)), 2):
        if similarity(grams[one], grams[other]) >= threshold:
            low, high = sorted((smallest[one], smallest[other]))
            smallest = [low if cluster == high else cluster for cluster in smallest]
    return dict(enumerate(smallest))


@pytest.mark.parametrize("threshold", [0.6, 0.85])
def test_banding_finds_what_comparing_every_pair_finds(tmp_path, threshold):
    texts = drifted(random.Random(7), 300)
    wanted = by_every_pair(texts, threshold)

    assert len(set(wanted.values())) < 200
    assert clusters(tmp_path, dict(enumerate(texts)), threshold) == wanted


def test_hashes_that_are_sorted_in_many_parts_give_the_same(tmp_path, monkeypatch):
    texts = dict(enumerate(drifted(random.Random(9), 200)))
    at_once = clusters(tmp_path, texts)
    monkeypatch.setattr(clustering, "SORTED", 30)
    monkeypatch.setattr(minhash, "BATCH", 500)
    monkeypatch.setattr(clustering, "PAIRS", 40)
    monkeypatch.setattr(clustering, "AT_ONCE", 3_000)

    assert len(set(at_once.values())) < 180
    assert clusters(tmp_path, texts) == at_once


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_rows_come_makes_no_difference(tmp_path_factory, rng):
    texts = dict(enumerate(drifted(rng, 40)))
    shuffled = list(texts.items())
    rng.shuffle(shuffled)
    folder = tmp_path_factory.mktemp("clusters")

    assert list(clusters(folder, texts).items()) == list(clusters(folder, dict(shuffled)).items())


def test_more_texts_of_one_kind_than_are_compared_with_each_other_are_still_found(tmp_path):
    rng = random.Random(3)
    texts = {row: LONG.replace("秋", chr(0x4E00 + row)) for row in range(300)}
    order = list(texts.items())
    rng.shuffle(order)

    assert set(clusters(tmp_path, dict(order)).values()) == {0}


def test_a_crowded_bucket_gives_up_its_pairs_whatever_the_order(tmp_path):
    rng = random.Random(11)
    template = "".join(map(chr, range(0x4E00, 0x4E64)))
    tails = ["".join(chr(rng.randrange(0x5000, 0x9000)) for _ in range(3)) for _ in range(300)]
    texts = [f"{template}{tail}{end}" for tail in tails for end in "甲乙"]
    rng.shuffle(texts)
    found = clusters(tmp_path, dict(enumerate(texts)), 0.95)

    # Each has one text that is as good as the same, and 598 that only share the template.
    assert sorted(Counter(found.values()).values()) == [2] * 300


texts_of_parts = st.lists(
    st.lists(st.text("甲乙丙abc 1\ud800", max_size=40), max_size=5), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=60)
@given(texts_of_parts, st.sampled_from([1, 2, 20_000]))
def test_texts_that_were_hashed_apart_are_as_near_as_before(tmp_path_factory, parts, remembered):
    """Also when they are added again and again, and the same ones in several parts."""
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch, Clusters(folder, 0.6) as found:
        patch.setattr(Hashed, "REMEMBERED", remembered)
        rows = 0
        for number, texts in enumerate(parts):
            hashed = Hashed(folder, 0.6, f"{number} ")
            numbers = np.array([hashed.add(text) for text in texts], np.int64)
            if number % 2:
                hashed.flush()  # and is read from its files
                hashed = Hashed(folder, 0.6, f"{number} ")
            found.take(rows, hashed, numbers)
            rows += len(texts)
        apart = dict(found.representatives())
    every = [text for texts in parts for text in texts]

    assert apart == clusters(folder, dict(enumerate(every)), 0.6)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.95])
def test_bands_miss_no_more_than_they_may(threshold):
    bands, hashes = banding(threshold)

    assert (1 - threshold**hashes) ** bands <= MISSED
    assert bands * hashes <= 96


def test_minhashes_agree_as_often_as_trigrams_do():
    """The share of equal MinHashes estimates the Jaccard similarity (Broder 1997)."""
    rng = random.Random(5)
    one = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(400))
    other = one[:200] + "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(200))
    truth = similarity(trigrams(one), trigrams(other))

    hashes = band_hashes(grams_of([one, other]), 2000, 1)
    agree = float(np.mean(hashes[:, 0] == hashes[:, 1]))

    # Four standard deviations of 2,000 throws.
    assert abs(agree - truth) < 4 * (truth * (1 - truth) / 2000) ** 0.5


@given(st.lists(st.text("甲乙丙abc 1", max_size=40), min_size=2, max_size=6))
def test_no_pair_is_more_similar_than_its_sketches_allow(texts):
    known = sketches(grams_of(texts))
    pairs = list(combinations(range(len(texts)), 2))
    one, other = (known[list(places)] for places in zip(*pairs, strict=True))
    true = [similarity(trigrams(texts[left]), trigrams(texts[right])) for left, right in pairs]

    assert (at_most(one, other) >= np.array(true) - 1e-12).all()


def test_sketches_tell_apart_what_shares_some_words():
    rng = random.Random(13)
    words = [" ".join(rng.sample(["moon", "sea", "pine", "snow", "lamp", "tea"], 6)) for _ in "ab"]
    known = sketches(grams_of([f"write a poem about the {word}" for word in (*words, "rain")]))

    assert at_most(known[:1], known[2:])[0] < 0.7
