"""A small denoiser, a training step of it and the memory that it takes, for tests."""

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.models.denoiser import Denoiser

ENCODER = dict(
    type="SemanticEncoder",
    input_size=32,
    channels=(4, 4, 8, 8, 8),
    width=16,
    layers=2,
    heads=2,
    strides=(1, 2, 2, 2, 1, 1),
)

DECODER = dict(
    type="GlideUNet",
    image_size=16,
    channels=16,
    multipliers=(1, 2, 2),
    res_blocks=1,
    attention_sizes=(8, 4),
    head_width=8,
    groups=8,
    token_width=16,
    dropout=0.1,
)

X, T = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([5, 900])

CONDITION = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def build(encoder=None, **decoder):
    torch.manual_seed(0)
    network = Denoiser({**ENCODER, **(encoder or {})}, {**DECODER, **decoder})
    # The last layers begin at zero, which would hide everything before them.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.train()


def assert_empty(alignment):
    """The loss has kept nothing for its next call."""
    with pytest.raises(RuntimeError, match="has not run"):
        alignment(None, None)


def step(network, alignment=None, precision=None):
    """Loss and gradients of one training step."""
    torch.manual_seed(3)
    with torch.autocast("cpu", precision, precision is not None):
        output = network(X, T, CONDITION)
        loss = output.square().mean()
        if alignment is not None:
            prediction = Prediction.from_output(output, X, NoiseSchedule().at(T))
            loss = loss + alignment(prediction, None).mean()
            assert_empty(alignment)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in network.named_parameters()}


def remembered(network):
    """Bytes that a forward pass keeps for the gradients, weights apart."""
    weights = {p.data_ptr() for p in network.parameters()}
    sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(X, T, CONDITION)
    del output
    return sum(sizes.values())
