# PITI, table 3b, row 1: a plain diffusion upsampler, trained on reduced images (FID 14.5 with the full-size model).
#   python tools/train.py configs/scenes/upsampler_small_mask_plain.py
# It goes on from the prior of pretrain_upsampler_small.py, as the paper does from GLIDE's. A training step takes
# squares of 128x128 pixels, which takes a quarter of the time of whole images.
_base_ = [
    "../_base_/models/small_upsampler256.py",
    "../_base_/datasets/scenes_mask_upsampling.py",
    "../_base_/schedules/small_upsampler.py",
    "../_base_/evaluation_upsampling.py",
    "../_base_/default_runtime.py",
]
model = dict(crop=128)
load_from = "work_dirs/pretrain_upsampler_small/ema.safetensors"
