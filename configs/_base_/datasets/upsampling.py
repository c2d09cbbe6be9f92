# What follows the loading for an upsampler: images at 256x256, and as low_res the same at 64x64, degraded by BSR-light
# in training, only reduced in a test. A fragment such as ade20k_mask_upsampling.py puts it behind what loads a set.
_base_ = ["../degradations/bsr_light.py"]

large = dict(type="ResizePair", size=256, image_size=256)
degraded = [
    large,
    dict(type="RandomFlip", prob=0.5),
    dict(type="Degrade", degradation={{_base_.degradation}}, size=64),
    dict(type="PackInputs"),
]
reduced = [large, dict(type="Degrade", size=64)]
