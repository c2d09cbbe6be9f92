r"""Colour strokes on SceneWorld: the embedded prior adapted in two stages with 2,000 images, strokes drawn from them.

python tools/train.py plugins/color_strokes/piti_small_strokes_scenes.py
python tools/test.py plugins/color_strokes/piti_small_strokes_scenes.py \
    work_dirs/piti_small_strokes_scenes/ema.safetensors
python tools/translate.py plugins/color_strokes/piti_small_strokes_scenes.py \
    work_dirs/piti_small_strokes_scenes/ema.safetensors STROKES.png --out results
"""

_base_ = [
    "../../configs/_base_/models/small64_spatial.py",
    "../../configs/_base_/datasets/loaders.py",
    "../../configs/_base_/schedules/small_two-stage.py",
    "../../configs/_base_/evaluation_scenes.py",
    "../../configs/_base_/default_runtime.py",
]
plugins = ["plugins/color_strokes"]
strokes = dict(type="Interval", low=0.4, guidance=dict(type="StrokeGuidance", source="condition"))
model = dict(sampler=dict(guidance=[{{_base_.model.sampler.guidance}}, strokes]))
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

resize = dict(type="ResizePair", size=256, image_size=64)
train_dataset = dict(
    type="SceneWorld",
    length=2000,
    start=1_000_000,
    size=256,
    members=["image"],
    cache=True,
    pipeline=[
        dict(type="LoadImage"),
        dict(type="DrawStrokes"),
        dict(type="LoadStrokes"),
        resize,
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackInputs"),
    ],
)
val_dataset = dict(
    type="SceneWorld",
    length=200,
    start=2_000_000,
    size=256,
    members=["image"],
    pipeline=[
        dict(type="LoadImage"),
        dict(type="DrawStrokes", count=8),
        dict(type="LoadStrokes"),
        resize,
        dict(type="PackInputs", keep=["strokes"]),
    ],
)
train_dataloader = dict(batch_size=8, num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
test_evaluator = [dict(type="StrokeError"), dict(type="LPIPS"), dict(type="FID"), dict(type="Colour")]
