"""Networks are moved to a device, and a device that is not there has a message."""

import pytest
import torch
from torch import nn

from pitikit.networks.devices import to_device


def test_a_network_is_moved():
    network = nn.Linear(2, 2)
    assert to_device(network, "cpu") is network
    assert to_device(network, "meta").weight.device == torch.device("meta")


def test_the_first_gpu_is_the_default(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert to_device(nn.Linear(2, 2)).weight.device.type == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_an_error(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used: "):
        to_device(nn.Linear(2, 2), device)
