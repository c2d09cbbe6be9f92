"""SceneWorld thermal images: the embedded prior adapted in two stages with 2,000 pairs.

python tools/train.py plugins/thermal/piti_small_thermal_scenes.py
python tools/translate.py plugins/thermal/piti_small_thermal_scenes.py \
    work_dirs/piti_small_thermal_scenes/ema.safetensors INPUT... --out results
"""

_base_ = [
    "../../configs/_base_/models/small64_spatial.py",
    "../../configs/_base_/datasets/loaders.py",
    "../../configs/_base_/schedules/small_two-stage.py",
    "../../configs/_base_/evaluation_scenes.py",
    "../../configs/_base_/default_runtime.py",
]
plugins = ["plugins/thermal"]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

load = [
    dict(type="LoadImage"),
    dict(type="LoadThermal", low=-20, high=50),
]
resize = dict(type="ResizePair", size=256, image_size=64)
train_dataset = dict(
    type="ThermalScenes",
    length=2000,
    start=1_000_000,
    pipeline=[*load, resize, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")],
)
val_dataset = dict(
    type="ThermalScenes",
    length=200,
    start=2_000_000,
    pipeline=[
        *load,
        dict(type="LoadMask", num_classes=22, condition=False),
        resize,
        dict(type="PackInputs", keep=["label"]),
    ],
)
train_dataloader = dict(num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
