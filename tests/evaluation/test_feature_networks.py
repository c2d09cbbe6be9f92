"""Networks of features against torch-fidelity's own, with the same random weights."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

from pitikit.evaluation.dino import DinoV2
from pitikit.evaluation.feature_networks import CmmdFeatures, build_network, clip_state
from pitikit.weights import WeightsError

WIDTH, SIDE, PATCH = 64, 32, 16


def clip_tensors():
    """A vision transformer of one block in the names of OpenAI's CLIP, and some of the text's half."""
    generator = torch.Generator().manual_seed(0)
    block = "visual.transformer.resblocks.0"
    shapes = {
        "visual.class_embedding": (WIDTH,),
        "visual.positional_embedding": ((SIDE // PATCH) ** 2 + 1, WIDTH),
        "visual.proj": (WIDTH, 24),
        "visual.conv1.weight": (WIDTH, 3, PATCH, PATCH),
        "visual.ln_pre.weight": (WIDTH,),
        "visual.ln_pre.bias": (WIDTH,),
        "visual.ln_post.weight": (WIDTH,),
        "visual.ln_post.bias": (WIDTH,),
        f"{block}.attn.in_proj_weight": (3 * WIDTH, WIDTH),
        f"{block}.attn.in_proj_bias": (3 * WIDTH,),
        f"{block}.attn.out_proj.weight": (WIDTH, WIDTH),
        f"{block}.attn.out_proj.bias": (WIDTH,),
        f"{block}.ln_1.weight": (WIDTH,),
        f"{block}.ln_1.bias": (WIDTH,),
        f"{block}.mlp.c_fc.weight": (4 * WIDTH, WIDTH),
        f"{block}.mlp.c_fc.bias": (4 * WIDTH,),
        f"{block}.mlp.c_proj.weight": (WIDTH, 4 * WIDTH),
        f"{block}.mlp.c_proj.bias": (WIDTH,),
        f"{block}.ln_2.weight": (WIDTH,),
        f"{block}.ln_2.bias": (WIDTH,),
    }
    state = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    return {
        **state,
        "text_projection": torch.zeros(5, 24),
        "transformer.a.weight": torch.zeros(2),
        "logit_scale": torch.ones(()),
    }


class Tree(nn.Module):
    """A module that holds tensors by dotted names, which TorchScript can save."""

    def __init__(self, tensors):
        super().__init__()
        parts = {}
        for name, value in tensors.items():
            head, dot, rest = name.partition(".")
            if dot:
                parts.setdefault(head, {})[rest] = value
            else:
                self.register_buffer(head, value)
        for head, inner in parts.items():
            self.add_module(head, Tree(inner))

    def forward(self, x: torch.Tensor):
        return x


@pytest.fixture
def clip_file(tmp_path):
    """OpenAI's form, a TorchScript archive in half precision, and the same as safetensors without the texts."""
    half = {name: value.half() for name, value in clip_tensors().items()}
    torch.jit.script(Tree(half)).save(str(tmp_path / "clip.pt"))
    save_file({n: v for n, v in half.items() if n.startswith("visual.")}, tmp_path / "clip.safetensors")
    return tmp_path / "clip.pt"


def images(side, count=3, width=None):
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (count, 3, side, width or side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("side", [20, SIDE, 70])
def test_clip_is_torch_fidelitys(clip_file, side):
    theirs = FeatureExtractorCLIP("clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(clip_file))
    expected = theirs(images(side))[0]
    assert expected.shape == (3, 24) and expected.std() > 0.1
    for path in (clip_file, clip_file.with_suffix(".safetensors")):
        assert torch.allclose(build_network("clip", path)(images(side))[0], expected, atol=1e-5)


def test_cmmd_resizes_as_pillow_does_and_has_unit_length(clip_file):
    network = build_network("cmmd", clip_file)
    assert isinstance(network, CmmdFeatures)
    for size in ((50, 50), (40, 60)):
        made = images(size[0], width=size[1])
        square = made[..., (size[1] - size[0]) // 2 :][..., : size[0]]
        small = [
            torchvision.transforms.functional.pil_to_tensor(
                torchvision.transforms.functional.to_pil_image(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            )
            for each in square
        ]
        expected = F.normalize(network.clip(torch.stack(small))[0])
        # A grey level of rounding.
        assert torch.allclose(network(made)[0], expected, atol=5e-3)
    assert network(made)[0].norm(dim=1).tolist() == pytest.approx([1, 1, 1])


def test_dino_is_prepared_as_torch_fidelity_does(tmp_path):
    own = DinoV2(64, 1)
    for value in own.parameters():
        value.data.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    torch.save(own.state_dict(), tmp_path / "dino.pth")
    network = build_network("dinov2", tmp_path / "dino.pth")
    made = images(224, 2)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    spread = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        expected = own((made / 255 - mean) / spread)
        assert torch.allclose(network(made)[0], expected, atol=1e-4)
        # Corners lie as in TensorFlow 1, so that every other pixel of a doubled image is one of its own.
        assert network(images(64))[0].shape == (3, 64)


@pytest.mark.slow
def test_vgg16_is_torch_fidelitys(tmp_path):
    torch.save(torchvision.models.vgg16().state_dict(), tmp_path / "vgg16.pth")
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], str(tmp_path / "vgg16.pth"))
    assert torch.equal(build_network("vgg16", tmp_path / "vgg16.pth")(images(40))[0], theirs(images(40))[0])


def test_a_file_of_no_weights_is_refused(tmp_path):
    (tmp_path / "clip.pt").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="a web page"):
        clip_state(tmp_path / "clip.pt")
