"""Templates of plugins about data: a modality, a dataset, a metric."""

from __future__ import annotations

from pitikit.apis.new_plugin.kinds import Kind

MODALITY = Kind(
    registry="TRANSFORMS",
    component="Load${Camel}",
    summary="SceneWorld's depth, read by ${component} as ${words}: the prior adapted in two stages with 2,000 pairs.",
    imports="""from pathlib import Path

import numpy as np
from PIL import Image

from pitikit.plugins import TRANSFORMS, ConditionLoader, DataError
""",
    code='''@TRANSFORMS.register_module()
class Load${Camel}(ConditionLoader):
    """Read ${words}: a condition of one channel.

    Args:
        low, high: values that become black and white.
        source: member of a pair that is read.
    """

    channels = 1
    interpolation = "area"

    def __init__(self, low: float = 0.0, high: float = 100.0, source: str = "depth") -> None:
        if low >= high:
            raise ValueError(f"Load${Camel}: got low={low}, high={high}, expected low < high")
        self.low, self.high, self.source = low, high, source

    def read(self, path: Path) -> np.ndarray:
        """Read an image of one channel, of 8 or 16 bits."""
        with Image.open(path) as image:
            return np.asarray(image)

    def validate(self, array: np.ndarray) -> np.ndarray:
        """Return numbers (H, W), of a file or from memory."""
        if array.ndim != 2:
            raise DataError(f"an array of shape {array.shape}", "one number a pixel, (H, W)")
        return array.astype(np.float32)

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Turn numbers (H, W) at their final size into bytes (H, W, 1)."""
        share = (array - self.low) / (self.high - self.low)
        return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)[..., None]
''',
    config="""load = [dict(type="LoadImage"), dict(type="Load${Camel}", low=0.0, high=100.0)]
resize = dict(type="ResizePair", size=256, image_size=64)
flip = dict(type="RandomFlip", prob=0.5)
train_dataset = dict(members=["image", "depth"], pipeline=[*load, resize, flip, dict(type="PackInputs")])
# The label map is for mIoU.
label = dict(type="LoadMask", num_classes=22, condition=False)
val_dataset = dict(
    members=["image", "depth", "mask"],
    pipeline=[*load, label, resize, dict(type="PackInputs", keep=["label"])],
)
train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
""",
    test_imports=("TRANSFORMS", "DataError"),
    test="""def test_the_condition(plugin):
    loader = TRANSFORMS.build(dict(type="Load${Camel}", low=0.0, high=10.0))
    code = loader.encode(loader.validate(np.array([[0.0, 5.0], [10.0, 99.0]])))
    assert code.dtype == np.uint8 and code[..., 0].tolist() == [[0, 128], [255, 255]]
    with pytest.raises(DataError, match="one number a pixel"):
        loader.validate(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match="low < high"):
        TRANSFORMS.build(dict(type="Load${Camel}", low=1.0, high=1.0))


def test_a_file_is_translated(cfg, tmp_path):
    path = tmp_path / "one.png"
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint16), (64, 1))).save(path)
    translator = Translator.from_config(cfg, "random", "cpu")
    assert translator(path, progress=False).shape == (1, 1, 64, 64, 3)
""",
    readme="""`Load${Camel}` is the whole modality. Until it reads files of yours it takes the depth of
SceneWorld, so that everything here runs without data. To change, in this order:

1. `source`: the name of your member, and `read`: how its files are opened.
2. `validate`: what an array must be; raise `DataError` with what was found and what was expected.
3. `encode` and `channels`: the bytes that the encoder sees. Values that a left-right flip changes go into `mirror`.
4. The dataset in the config. Your own files need no class: `dict(type="PairedImageDataset", root="data/mine",
   image="images/{id}.jpg", conditions=dict(${name}="${name}/{id}.png"), pipeline=[...])`.
""",
)

DATASET = Kind(
    registry="DATASETS",
    component="${Camel}Dataset",
    summary="Label maps of ${component}: the prior adapted in two stages with 2,000 pairs.",
    imports="""from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from torch.utils.data import Dataset

from pitikit.plugins import DATASETS, SCENE_CLASSES, TRANSFORMS, SceneWorld, build_pipeline
""",
    code='''@DATASETS.register_module()
class ${Camel}Dataset(Dataset):
    """Pairs of an image and its label map.

    Args:
        length: number of pairs.
        pipeline: transforms, applied in order.
        start: number of the first scene; ranges that do not overlap share no image.
        seed: of the random numbers of the pipeline.
    """

    def __init__(
        self, length: int, pipeline: Sequence[Annotated[Any, TRANSFORMS]] = (), start: int = 0, seed: int = 0
    ) -> None:
        self.scenes, self.start, self.seed = SceneWorld(length, start=start), start, seed
        self.pipeline = build_pipeline(list(pipeline))

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the classes, for the columns of MeanIoU."""
        return {"classes": SCENE_CLASSES}

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.scenes)

    def sources(self, index: int) -> dict[str, Any]:
        """Members of a pair: the paths of files, or arrays: RGB uint8 (H, W, 3) and ids (H, W)."""
        return self.scenes.sources(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Pair number ``index`` after the pipeline; the random numbers depend on seed, pass and pair alone."""
        if not 0 <= index < len(self):
            raise IndexError(f"${Camel}Dataset: got index {index}, expected one below {len(self)}")
        number = self.start + int(index)
        rng = np.random.default_rng([self.seed, getattr(index, "epoch", 0), number])
        return self.pipeline({"id": f"${name}_{number:07d}", "sources": self.sources(int(index)), "rng": rng})
''',
    config="""load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=22)]
resize = dict(type="ResizePair", size=256, image_size=64)
flip = dict(type="RandomFlip", prob=0.5)
train_dataset = dict(
    _delete_=True,
    type="${Camel}Dataset",
    length=2000,
    start=1_000_000,
    pipeline=[*load, resize, flip, dict(type="PackInputs")],
)
val_dataset = dict(
    _delete_=True,
    type="${Camel}Dataset",
    length=200,
    start=2_000_000,
    pipeline=[*load, resize, dict(type="PackInputs", keep=["label"])],
)
train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
""",
    test_imports=("DATASETS",),
    test="""def test_pairs(cfg):
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    first = dataset[0]
    assert len(dataset) == 200 and first["id"] == "${name}_2000000"
    assert first["image"].shape == (3, 64, 64) and first["condition"].shape == (3, 256, 256)
    assert np.array_equal(first["image"], DATASETS.build(cfg.test_dataloader.dataset)[0]["image"])
    assert not np.array_equal(first["image"], dataset[1]["image"])
    with pytest.raises(IndexError, match="expected one below 200"):
        dataset[200]


def test_a_pair_is_translated(cfg):
    label = DATASETS.build(cfg.test_dataloader.dataset).sources(0)["mask"]
    translator = Translator.from_config(cfg, "random", "cpu")
    assert translator(label, progress=False).shape == (1, 1, 64, 64, 3)
""",
    readme="""`${Camel}Dataset` draws scenes until `sources` has files of yours: for each pair it returns
`image` and `mask`, as paths or as arrays, and every loader of the pipeline takes its member. `id` names the result and
decides its noise. Where there are no named classes, `metainfo` can go.
""",
)

METRIC = Kind(
    registry="METRICS",
    component="${Camel}Metric",
    summary="SceneWorld label maps, measured by ${component} too: the prior adapted in two stages with 2,000 pairs.",
    imports="""from typing import Any

from pitikit.plugins import METRICS, ImageMetric, image_pair, to_bytes
""",
    code='''@METRICS.register_module()
class ${Camel}Metric(ImageMetric):
    """``${name}``: distance of the mean colours of an image and the true one, in grey levels."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Append one entry a sample: its value, or None."""
        for sample in data_samples:
            pair = image_pair(sample)
            colours = None if pair is None else [to_bytes(each).mean(dim=(1, 2)) for each in pair]
            self.results.append(None if colours is None else float((colours[0] - colours[1]).norm()))

    def compute_metrics(self, results: list[float | None]) -> dict[str, Any]:
        """Turn the entries of all ranks, in the order of the dataset, into named values."""
        values = [value for value in results if value is not None]
        if not values:
            return self.unknown("no sample has an 'image', the ground truth", "${name}")
        return {"${name}": sum(values) / len(values)}
''',
    config="""test_evaluator = [dict(type="PSNR"), dict(type="${Camel}Metric")]
""",
    test_imports=("DATASETS", "METRICS"),
    test="""def test_the_value(plugin):
    metric = METRICS.build(dict(type="${Camel}Metric"))
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    metric.process(None, [dict(id="a", pred=grey, image=grey), dict(id="b", pred=grey + 3, image=grey)])
    assert metric.compute_metrics(metric.results) == {"${name}": pytest.approx(3 * 3**0.5 / 2)}


def test_without_true_images_there_is_none(plugin):
    metric = METRICS.build(dict(type="${Camel}Metric"))
    metric.process(None, [dict(id="a", pred=torch.zeros(3, 8, 8, dtype=torch.uint8))])
    assert metric.compute_metrics(metric.results) == {"${name}": None}


def test_the_config_measures_by_it(cfg):
    assert [each.type for each in cfg.test_evaluator] == ["PSNR", "${Camel}Metric"]
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    metric = METRICS.build(cfg.test_evaluator[1])
    metric.process(None, [dict(sample, pred=torch.as_tensor(sample["image"]))])
    assert metric.compute_metrics(metric.results) == {"${name}": 0.0}
""",
    readme="""`${Camel}Metric` compares mean colours; replace `process`. A sample has `pred`, uint8 (3, H, W),
`condition`, `id`, the true `image` where the dataset has one, and what `PackInputs(keep=[...])` names.
`self.unknown(reason, name)` leaves a column empty with a note. What a value depends on besides the images, such as the
hash of a network, goes into `self.facts`.
""",
)
