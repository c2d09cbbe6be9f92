"""The dataset fragments of configs/_base_, built by mmengine's Runner, on real photographs; those of prepared sets are
in tests/configs/test_benchmarks.py.
"""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from pitikit.data.sampler import DrawSampler
from pitikit.networks.tokenizers import WordTokenizer

CHANNELS = {
    "camvid_mask": 3,
    "nyuv2_geometry": 6,
    "nyuv2_sketch": 1,
    "scenes_mask": 3,
    "scenes_mask_upsampling": 3,
    "scenes_sketch": 1,
    "scenes_geometry": 6,
    "photographs": None,
    "scenes_layout": None,
}
COUNTS = {
    "camvid_mask": (367, 101),
    "nyuv2_geometry": (795, 109),
    "nyuv2_sketch": (795, 109),
    "photographs": (367 + 795 + 1162, 101),
}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("pitikit"):
        yield


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_fragment_gives_batches(name, repo, request, monkeypatch):
    if name in COUNTS:
        data = request.getfixturevalue("shared") / "data"
        if not data.is_dir():
            pytest.skip(f"{data} is not there")
        monkeypatch.setenv("PITIKIT_DATA", str(data))
    cfg = Config.fromfile(repo / f"configs/_base_/datasets/{name}.py")
    sizes = []
    for split in ("train", "val", "test"):
        options = dict(cfg[f"{split}_dataloader"], batch_size=4, num_workers=0)
        options.pop("persistent_workers", None)
        loader = Runner.build_dataloader(options, seed=0)
        sizes.append(len(loader.dataset))
        assert isinstance(loader.sampler, DrawSampler) == (split == "train")
        batch = next(iter(loader))
        enlarges = name.endswith("_upsampling")
        side = 256 if enlarges else 64
        assert batch["image"].shape == (4, 3, side, side) and len(set(batch["id"])) == 4
        assert ("low_res" in batch) == enlarges
        if enlarges:
            assert batch["low_res"].shape == (4, 3, 64, 64)
        if CHANNELS[name] is None:
            assert batch["condition"].shape == (4, 304)
            said = (batch["condition"][:, 0] >= 0).tolist()
            assert said == [name.startswith("scene_") for name in batch["id"]]
            words = WordTokenizer("pitikit.scenes:LAYOUT_VOCABULARY")
            assert (batch["condition"] < len(words) - 1).all(), "a word outside the vocabulary"
        else:
            assert batch["condition"].shape == (4, CHANNELS[name], 256, 256)
            assert batch["condition"].float().std() > 1
        assert ("label" in batch) == (split != "train" and CHANNELS[name] is not None and not name.startswith("nyu"))
    assert sizes[1] == sizes[2]
    if name in COUNTS:
        assert tuple(sizes[:2]) == COUNTS[name]
