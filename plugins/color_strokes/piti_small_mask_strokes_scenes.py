r"""Label maps and colour strokes on SceneWorld: the shipped mask model as it is, its sampling guided by the strokes.

python tools/test.py plugins/color_strokes/piti_small_mask_strokes_scenes.py weights/scenes_mask.safetensors
python tools/translate.py plugins/color_strokes/piti_small_mask_strokes_scenes.py weights/scenes_mask.safetensors \
    plugins/color_strokes/inputs --out results   # mask/NAME.png, strokes/NAME.png
"""

_base_ = ["../../configs/scenes/piti_small_mask.py"]
plugins = ["plugins/color_strokes"]
strokes = dict(type="Interval", low=0.4, guidance=dict(type="StrokeGuidance"))
model = dict(
    denoiser=dict(encoder=dict(type="SpatialBesideStrokes", beside="mask")),
    sampler=dict(guidance=[{{_base_.model.sampler.guidance}}, strokes]),
)

conditions = dict(type="LoadConditions", conditions=[dict(type="LoadMask", num_classes=22), dict(type="LoadStrokes")])
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="DrawStrokes"),
            conditions,
            {{_base_.resize}},
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ],
    )
)
val_dataset = dict(
    pipeline=[
        dict(type="LoadImage"),
        dict(type="DrawStrokes", count=8),
        conditions,
        {{_base_.resize}},
        dict(type="PackInputs", keep=["label", "strokes"]),
    ],
)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
test_evaluator = [
    dict(type="StrokeError"),
    dict(type="MeanIoU", segmenter=dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors")),
    dict(type="LPIPS"),
    dict(type="FID"),
]
