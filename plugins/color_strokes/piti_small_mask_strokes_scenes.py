r"""Label maps and colour strokes on SceneWorld: the shipped mask model learns to take strokes besides.

Each of the two conditions is dropped on its own in training, so that the model takes both or either.

python tools/train.py plugins/color_strokes/piti_small_mask_strokes_scenes.py
python tools/test.py plugins/color_strokes/piti_small_mask_strokes_scenes.py \
    work_dirs/piti_small_mask_strokes_scenes/ema.safetensors
python tools/translate.py plugins/color_strokes/piti_small_mask_strokes_scenes.py \
    work_dirs/piti_small_mask_strokes_scenes/ema.safetensors FOLDER --out results   # FOLDER/mask, FOLDER/strokes
"""

_base_ = ["./piti_small_strokes_scenes.py"]
encoder = {{_base_.model.denoiser.encoder}}
model = dict(
    denoiser=dict(encoder=dict(_delete_=True, type="PartsEncoder", encoders=dict(mask=encoder, strokes=encoder))),
    losses=[
        dict(type="EpsMSE", v_weight=5.0),
        dict(type="VariationalBound"),
        dict(type="TokenAlignment", grid=16, parts=2),
    ],
    sampler=dict(guidance=dict(_delete_=True, type="PartsCFG", scale=2.0, weights=dict(mask=1.0, strokes=1.0))),
)
load_from = "weights/scenes_mask.safetensors"
load_parts = ["encoder.mask", "decoder"]

conditions = dict(type="LoadConditions", conditions=[dict(type="LoadMask", num_classes=22), dict(type="LoadStrokes")])
train_dataloader = dict(
    dataset=dict(
        members=["image", "mask"],
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
    members=["image", "mask"],
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

train_cfg = dict(max_iters=800)
drop = dict(mask=0.1, strokes=0.3)
stages = [
    dict(name="strokes", until=200, train=["encoder.strokes"], lr=1e-3, warmup=50, drop=drop),
    dict(name="joint", train=["encoder", "decoder"], lr=5e-4, lr_end=2e-5, warmup=50, drop=drop),
]
