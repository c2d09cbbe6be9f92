"""Captions of scenes."""

from pitikit.scenes import MAX_WORDS, VOCABULARY, sample_scene, scene_caption
from pitikit.scenes.spec import position_word


def test_captions_stay_within_the_vocabulary():
    assert len(set(VOCABULARY)) == len(VOCABULARY) <= 160
    used = set()
    for index in range(600):
        words = scene_caption(sample_scene(0, index)).split(" ")
        assert len(words) <= MAX_WORDS
        assert set(words) <= set(VOCABULARY)
        used |= set(words)
    assert len(used) > 0.95 * len(VOCABULARY)


def test_a_caption_tells_what_stands_where():
    for index in range(40):
        spec = sample_scene(0, index)
        caption = scene_caption(spec)
        assert caption.startswith(f"{spec.time} {spec.weather} {spec.ground}")
        nearest = spec.objects[-1]
        assert f"{nearest.kind} {position_word(nearest.u)}" in caption
        assert [o.z for o in spec.objects] == sorted((o.z for o in spec.objects), reverse=True)
