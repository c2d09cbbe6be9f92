# PITI, table 3b, row 1, on photographs: a plain diffusion upsampler, trained on reduced images.
#   PITIKIT_DATA=data python tools/train.py configs/photographs/upsampler_small_plain.py
# It goes on from the prior of configs/scenes/pretrain_upsampler_small.py and has no condition but the small image.
_base_ = [
    "../_base_/models/small_upsampler256.py",
    "../_base_/datasets/photographs_upsampling.py",
    "../_base_/schedules/small_upsampler.py",
    "../_base_/evaluation_upsampling.py",
    "../_base_/default_runtime.py",
]
model = dict(crop=128)
load_from = "work_dirs/pretrain_upsampler_small/ema.safetensors"
