# SceneWorld label maps and sketches in one model: each is dropped on its own in training, so that the model takes both
# or either, and each has a weight and an interval of its own in sampling.
#   python tools/train.py configs/scenes/piti_small_mask_sketch.py
#   python tools/translate.py configs/scenes/piti_small_mask_sketch.py \
#       work_dirs/piti_small_mask_sketch/ema.safetensors configs/scenes/inputs --out both
#   python tools/translate.py configs/scenes/piti_small_mask_sketch.py \
#       work_dirs/piti_small_mask_sketch/ema.safetensors configs/scenes/inputs --out weighted \
#       --weights mask=1 sketch=0.5 --intervals sketch=0,0.5
#   python tools/translate.py configs/scenes/piti_small_mask_sketch.py \
#       work_dirs/piti_small_mask_sketch/ema.safetensors FOLDER --out sketches     # FOLDER/sketch/*.png alone
_base_ = [
    "../_base_/models/small64.py",
    "../_base_/datasets/scenes_mask.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
encoder = dict(
    type="SemanticEncoder",
    channels=(16, 32, 48, 64, 64),
    strides=(2, 2, 2, 2, 1, 1),
    position_init=0.5,
    width=96,
    layers=2,
    heads=4,
)
drop = dict(mask=0.3, sketch=0.3)
model = dict(
    denoiser=dict(
        encoder=dict(
            _delete_=True, type="PartsEncoder", encoders=dict(mask=encoder, sketch=encoder)
        ),
    ),
    losses=[
        dict(type="EpsMSE", v_weight=5.0),
        dict(type="VariationalBound"),
        dict(type="TokenAlignment", grid=16, parts=2),
    ],
    sampler=dict(
        guidance=dict(_delete_=True, type="PartsCFG", scale=2.5, weights=dict(mask=1.0, sketch=1.0), intervals=dict())
    ),
)
members = ["image", "mask", "sketch"]
load = [
    dict(type="LoadImage"),
    dict(type="LoadConditions", conditions=[dict(type="LoadMask", num_classes=22), dict(type="LoadSketch")]),
    dict(type="ResizePair", size=256, image_size=64),
]
train_dataloader = dict(
    dataset=dict(members=members, pipeline=[*load, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")])
)
val_dataset = dict(members=members, pipeline=[*load, dict(type="PackInputs", keep=["label"])])
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
stages = [
    dict(name="encoder", until=500, train=["encoder"], lr=1e-3, warmup=50, drop=drop),
    dict(
        name="joint", train=["encoder", "decoder"], lr=1e-3, lr_end=2e-5, encoder_lr=0.5, warmup=50, drop=drop
    ),
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]
