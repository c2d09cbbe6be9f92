# As the released code trains its upsampler, where it differs from the paper: one layer of VGG-19, and WGAN-GP.
#   python tools/train.py configs/mask/upsampler_glide256_coco_released.py
_base_ = [
    "../_base_/models/glide_upsampler256_released.py",
    "../_base_/datasets/cocostuff_mask_upsampling.py",
    "../_base_/schedules/upsampler.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_upsample.safetensors"
load_parts = ["decoder"]
