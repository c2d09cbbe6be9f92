"""Agreement of a network's answers with conditions."""

import math

import pytest
import torch
import torch.nn.functional as F

from pitikit.diffusion.consistency import TARGETS, make_agreement


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_labels_are_cross_entropy_over_the_pixels_that_count():
    logits, label = rand(2, 4, 6, 6), torch.randint(0, 4, (2, 6, 6), generator=torch.Generator().manual_seed(1))
    label[0, :2] = 255
    found = make_agreement("here", "label").distance(logits, label.byte())
    expected = [F.cross_entropy(logits[row, None], label[row, None], ignore_index=255) for row in range(2)]
    torch.testing.assert_close(found, torch.stack(expected))
    whole = make_agreement("here", "label").distance(logits.mean((2, 3)), torch.tensor([1, 3]))
    torch.testing.assert_close(whole, F.cross_entropy(logits.mean((2, 3)), torch.tensor([1, 3]), reduction="none"))


def test_balance_lets_classes_count_alike():
    logits = rand(1, 3, 10, 10).double()
    label = torch.zeros(1, 10, 10, dtype=torch.uint8)
    label[0, 0, 0], label[0, 1, :3] = 2, 255
    loss = F.cross_entropy(logits, label.long(), ignore_index=255, reduction="none")
    by_class = [loss[label == index].mean() for index in (0, 2)]
    found = make_agreement("here", "label", balance=1.0).distance(logits, label)
    assert float(found) == pytest.approx(float(sum(by_class) / 2))
    half = make_agreement("here", "label", balance=0.5).distance(logits, label)
    pixels = torch.tensor([96.0, 1.0], dtype=torch.float64).sqrt()
    assert float(half) == pytest.approx(float((pixels * torch.stack(by_class)).sum() / pixels.sum()))


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_a_map_without_a_label_counts_nothing_and_has_no_gradient(balance):
    logits = rand(2, 3, 4, 4).requires_grad_()
    label = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    label[1] = 2
    value = make_agreement("here", "label", balance=balance).distance(logits, label)
    value.sum().backward()
    assert value[0] == 0 and value[1] > 0
    assert (logits.grad[0] == 0).all() and logits.grad[1].isfinite().all() and (logits.grad[1] != 0).any()


def test_an_id_that_the_network_does_not_have():
    label = torch.full((1, 4, 4), 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="here: got class id 3, expected those of the network, 0 to 2"):
        make_agreement("here", "label").distance(rand(1, 3, 4, 4), label)
    with pytest.raises(ValueError, match="here: got class id -1, expected those"):
        make_agreement("here", "label").distance(rand(1, 3, 4, 4), label.long() - 4)
    assert float(make_agreement("here", "label", ignore=3).distance(rand(1, 3, 4, 4), label)) == 0


def test_depth_is_compared_up_to_its_scale():
    depth = rand(2, 8, 8).exp()
    answer = torch.cat([depth.log()[:, None] + 3, rand(2, 3, 8, 8, seed=1)], 1)
    agreement = make_agreement("here", "depth")
    assert agreement.distance(answer, depth).abs().max() < 1e-6
    unknown = depth.clone()
    unknown[0, 0], unknown[0, 1], unknown[0, 2] = 0, math.inf, math.nan
    assert agreement.distance(answer, unknown).abs().max() < 1e-6
    nothing = torch.zeros(2, 8, 8)
    other = rand(2, 1, 8, 8, seed=2).requires_grad_()
    assert (agreement.distance(other, nothing) == 0).all()
    value = agreement.distance(other, unknown)
    value.sum().backward()
    assert (value > 0.1).all() and other.grad.isfinite().all() and (other.grad[0, 0, :3] == 0).all()
    # A larger map is brought to the answer's size.
    large = depth.repeat_interleave(4, 1).repeat_interleave(4, 2)
    torch.testing.assert_close(agreement.distance(other, large), agreement.distance(other, depth))


def test_normals_are_the_last_channels_and_three_of_the_condition():
    normals = F.normalize(rand(1, 3, 8, 8), dim=1)
    condition = torch.cat([rand(1, 3, 8, 8, seed=3), normals], 1)
    condition[..., :2, :] = 1 / 255  # no normal: a byte of 128
    answer = torch.cat([rand(1, 1, 8, 8, seed=4), 5 * normals], 1)
    agreement = make_agreement("here", "normals", channel=3)
    assert float(agreement.distance(answer, condition)) == pytest.approx(0, abs=1e-6)
    assert float(agreement.distance(-answer, condition)) == pytest.approx(2, abs=1e-6)


def test_edges_and_what_is_none_count_alike():
    sketch = torch.ones(1, 1, 8, 8)
    sketch[0, 0, 3, 3] = -1
    sketch[0, 0, 5, 5] = -1 + 1 / 127.5  # the neighbour of an edge, in bytes
    agreement = make_agreement("here", "edges")
    # At half the size a cell with an edge anywhere in it is one.
    logits = torch.full((1, 1, 4, 4), -20.0)
    assert float(agreement.distance(logits, sketch)) == pytest.approx(10, rel=1e-4)
    logits[0, 0, 1, 1] = 20
    assert float(agreement.distance(logits, sketch)) < 1e-6
    assert float(agreement.distance(-logits, sketch)) == pytest.approx(20, rel=1e-4)


@pytest.mark.parametrize(("target", "channels"), [("normals", 3), ("edges", 1)])
def test_a_condition_that_is_missing_is_white_and_counts_nothing(target, channels):
    condition = torch.ones(2, channels, 8, 8)
    condition[1, :, 2] = -1
    answer = rand(2, channels, 8, 8).requires_grad_()
    value = make_agreement("here", target).distance(answer, condition)
    value.sum().backward()
    assert value[0] == 0 and value[1] > 0 and not answer.grad[0].any() and answer.grad[1].any()


@pytest.mark.parametrize("target", TARGETS)
def test_the_truth_is_a_member_of_the_batch(target):
    agreement = make_agreement("here", target)
    with pytest.raises(ValueError, match=f"here: got no {agreement.source}, expected "):
        agreement.truth({})
    assert make_agreement("here", target, source="other").truth({"other": torch.ones(1)}) == 1


@pytest.mark.parametrize(
    ("target", "answer", "truth"),
    [
        ("label", (2, 3, 4, 4), (1, 4, 4)),
        ("depth", (2, 4), (2, 4, 4)),
        ("depth", (2, 4, 4, 4), (2, 1, 4, 4)),
        ("normals", (2, 2, 4, 4), (2, 3, 4, 4)),
        ("normals", (2, 4, 4, 4), (2, 1, 4, 4)),
        ("edges", (2, 3, 4, 4), (2, 1, 4, 4)),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(target, answer, truth):
    agreement = make_agreement("here", target)
    with pytest.raises(ValueError, match=f"here: got a {agreement.source} .*expected"):
        agreement.distance(torch.zeros(answer), torch.ones(truth))


def test_names_and_options():
    with pytest.raises(ValueError, match="here: target='labels': did you mean 'label'"):
        make_agreement("here", "labels")
    with pytest.raises(TypeError, match=r"here.options: unknown argument 'ballance'; did you mean 'balance'"):
        make_agreement("here", "label", ballance=1)
    with pytest.raises(ValueError, match="here: balance=2: expected 0"):
        make_agreement("here", "label", balance=2)


def test_half_precision_is_summed_in_float32():
    logits, label = rand(1, 4, 16, 16).bfloat16(), torch.ones(1, 16, 16, dtype=torch.uint8)
    assert make_agreement("here", "label").distance(logits, label).dtype == torch.float32
