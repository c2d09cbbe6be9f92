# The upsampler that ships: all losses, on reduced images without degradation. The base model's images of scenes are
# clean, and an upsampler that expects degradation takes fine detail for it (docs/upsampling.md).
#   PITIKIT_WEIGHTS=FOLDER torchrun --nproc-per-node 2 tools/train.py configs/scenes/upsampler_small_mask.py
# FOLDER as in upsampler_small_mask_perceptual.py; expected: see docs/upsampling.md.
_base_ = ["./upsampler_small_mask_adversarial.py"]
train_cfg = dict(max_iters=600)
# The prior has learned the noisy timesteps; the others remain.
model = dict(
    losses=[
        dict(type="EpsMSE"),
        dict(type="VariationalBound"),
        dict(type="PerceptualLoss", network="vgg16", weight=0.004, alpha_power=1.0),
    ]
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=256, image_size=256),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Degrade", size=64),
            dict(type="PackInputs"),
        ]
    )
)
