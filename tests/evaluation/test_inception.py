"""Inception's features, on the weights that are there."""

import torch

from pitikit.evaluation.inception import InceptionFeatures


def images(count, seed=0, side=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def resize_as_tensorflow_1(image, side):
    """Bilinear from the corner, not the centre, of a pixel: (3, h, w) to (3, side, side)."""
    height, width = image.shape[1:]
    out = image
    for axis, size in ((1, height), (2, width)):
        place = torch.arange(side) * (size / side)
        low = place.long()
        high = (low + 1).clamp_max(size - 1)
        part = (place - low).view(-1, 1) if axis == 1 else place - low
        out = out.index_select(axis, low) * (1 - part) + out.index_select(axis, high) * part
    return out


def test_real_network_resizes_as_tensorflow_did(inception):
    network = InceptionFeatures(inception)
    seen = []
    network.network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = images(1, side=64)
    features = network(image)
    assert features.shape == (1, 2048) and features.min() >= 0 and features.dtype == torch.float32
    expected = (resize_as_tensorflow_1(image[0].float(), 299) - 128) / 128
    assert torch.allclose(seen[0][0], expected, atol=1e-4)
