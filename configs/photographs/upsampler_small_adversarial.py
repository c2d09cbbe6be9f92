# PITI, table 3b, row 4, on photographs: with the adversarial loss too: the whole method.
#   PITIKIT_DATA=data PITIKIT_WEIGHTS=FOLDER python tools/train.py configs/photographs/upsampler_small_adversarial.py
# FOLDER as in configs/scenes/upsampler_small_mask_perceptual.py.
_base_ = ["./upsampler_small_perceptual.py"]
model = dict(
    type="AdversarialUpsampler",
    discriminator=dict(type="PatchDiscriminator", channels=32),
    adversarial=dict(type="LogAdversarialLoss", weight=0.01, alpha_power=1.0),
)
optim_wrapper = dict(
    _delete_=True,
    constructor="SeparateConstructor",
    denoiser=dict(
        type="AutocastOptimWrapper",
        precision="bfloat16",
        optimizer=dict(type="AdamW", weight_decay=0.0, betas=(0.9, 0.99), fused=True),
        clip_grad=dict(max_norm=1.0),
    ),
    discriminator=dict(
        type="AutocastOptimWrapper",
        precision="bfloat16",
        optimizer=dict(type="Adam", lr=2e-4, betas=(0.5, 0.99), fused=True),
    ),
)
