"""From scratch: the same U-Net without its prior, and so one stage.

python tools/train.py plugins/diffusers_prior/piti_small_unet_mask_from-scratch.py
"""

_base_ = [
    "./small_unet.py",
    "../../configs/_base_/datasets/scenes_mask.py",
    "../../configs/_base_/schedules/small_two-stage.py",
    "../../configs/_base_/evaluation_scenes.py",
    "../../configs/_base_/default_runtime.py",
]
stages = [dict(name="joint", train=["encoder", "decoder"], lr=1e-3, lr_end=2e-5, encoder_lr=0.5, warmup=50, drop=0.1)]
