# The tiny model in three stages of a few iterations. For tests.
_base_ = ["./tiny.py", "../../configs/_base_/default_runtime.py"]
model = dict(
    # Few timesteps, so that loss-second-moment leaves its uniform beginning.
    schedule=dict(type="NoiseSchedule", steps=4),
    timestep_sampler=dict(type="LossSecondMoment", history=2, steps=4),
    sampler=dict(steps=2),
    denoiser=dict(decoder=dict(dropout=0.1)),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="SceneWorld",
        length=7,
        start=100,
        size=32,
        members=["image", "mask"],
        cache=True,
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=32, image_size=16),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ],
    ),
)
train_cfg = dict(type="TranslationTrainLoop", max_iters=12)
optim_wrapper = dict(type="AutocastOptimWrapper", optimizer=dict(type="AdamW", weight_decay=0.0, fused=True))
custom_hooks = [
    dict(
        type="StageHook",
        stages=[
            dict(name="encoder", until=4, train=["encoder"], lr=1e-3, warmup=2, drop=0.0),
            dict(name="encoder-drop", until=8, train=["encoder"], lr=5e-4, drop=0.5),
            dict(name="joint", lr=1e-3, lr_end=1e-4, drop=0.2),
        ],
    ),
    dict(type="DenoiserEMA", decay=0.9),
]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=2),
)
