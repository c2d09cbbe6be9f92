# An adversarial upsampler from 8x8 to 32x32, trained in squares of 24x24. For tests.
_base_ = ["./tiny_training.py"]
model = dict(
    type="AdversarialUpsampler",
    schedule=dict(steps=12),
    timestep_sampler=dict(steps=12),
    denoiser=dict(decoder=dict(image_size=32, attention_sizes=(32,), low_res=True, dropout=0.0)),
    losses=[dict(type="EpsMSE"), dict(type="VariationalBound")],
    discriminator=dict(type="PatchDiscriminator", channels=4),
    adversarial=dict(type="LogAdversarialLoss", weight=0.1, start=3, max_t=9),
    crop=24,
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=32, image_size=32),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Degrade", size=8),
            dict(type="PackInputs"),
        ],
    ),
)
train_cfg = dict(max_iters=10)
optim_wrapper = dict(
    _delete_=True,
    constructor="SeparateConstructor",
    # Biases before a norm have gradients of rounding errors alone, which Adam would blow up to whole steps.
    denoiser=dict(
        type="AutocastOptimWrapper",
        accumulative_counts=2,
        optimizer=dict(type="AdamW", weight_decay=0.0, eps=1e-3),
    ),
    discriminator=dict(
        type="AutocastOptimWrapper",
        accumulative_counts=2,
        optimizer=dict(type="Adam", lr=1e-3, eps=1e-3),
    ),
)
custom_hooks = [
    dict(type="StageHook", stages=[dict(name="upsampler", lr=1e-3, lr_end=1e-4, encoder_lr=0.5)]),
    dict(type="DenoiserEMA", decay=0.9, discriminator=True),
]
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
