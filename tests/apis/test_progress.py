"""A bar of steps."""

from pitikit.apis.progress import SamplingBar


def test_it_moves_by_steps_and_counts_images(capsys):
    with SamplingBar(steps=3, batches=2, images=3, title="test set") as progress:
        assert progress.bar.total == 6
        for index in range(2):
            progress.step(index, 5, None, None)
        assert progress.bar.n == 2
        progress.step(2, 0, None, None)
        progress.batch(2)
        assert progress.bar.n == 3 and progress.done == 2
        # Its images were there: no step was made.
        progress.batch(2)
        assert progress.bar.n == 6 and progress.done == 3
    shown = capsys.readouterr().err
    assert "test set: 100%" in shown and "6/6" in shown and "3/3 images" in shown


def test_a_sampling_without_steps_moves_by_batches():
    with SamplingBar(0, 2, 8, "", shown=False) as progress:
        progress.batch(4)
        assert progress.bar.total == 2 and progress.done == 4


def test_none_is_shown(capsys):
    with SamplingBar(3, 1, 1, "x", shown=False) as progress:
        progress.batch(1)
    assert capsys.readouterr().err == ""
