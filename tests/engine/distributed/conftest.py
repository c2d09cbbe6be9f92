"""A process group of one rank."""

import pytest
import torch.distributed as dist


@pytest.fixture
def group():
    """Join a group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
