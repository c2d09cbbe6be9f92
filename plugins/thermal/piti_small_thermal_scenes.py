"""Thermal pictures to images, adapted in two stages from the small prior.

python tools/train.py plugins/thermal/piti_small_thermal_scenes.py
python tools/translate.py plugins/thermal/piti_small_thermal_scenes.py \
    work_dirs/piti_small_thermal_scenes/ema.safetensors INPUT... --out results
"""

_base_ = [
    "../../configs/_base_/models/small64.py",
    "../../configs/_base_/datasets/loaders.py",
    "../../configs/_base_/schedules/small.py",
    "../../configs/_base_/evaluation_scenes.py",
    "../../configs/_base_/default_runtime.py",
]
plugins = ["plugins/thermal"]

model = dict(denoiser=dict(encoder=dict(in_channels=1)))
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

load = [
    dict(type="LoadImage"),
    dict(type="LoadThermal", low=-20, high=50),
]
resize = dict(type="ResizePair", size=256, image_size=64)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type="ThermalScenes",
        length=2000,
        start=1_000_000,
        pipeline=[*load, resize, dict(type="RandomFlip"), dict(type="PackInputs")],
    ),
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
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)

train_cfg = dict(max_iters=3000)
custom_hooks = [
    dict(
        type="StageHook",
        stages=[
            dict(name="encoder", until=1500, train=["encoder"], lr=8e-4, drop=0.0),
            dict(name="joint", lr=4e-4, drop=0.1),
        ],
    ),
    dict(type="DenoiserEMA", decay=0.998, export_dtype="float16"),
    dict(type="IterationSeedHook"),
    dict(type="ThroughputHook"),
    dict(type="SampleGridHook", interval=1000, dataset=val_dataset),
]
