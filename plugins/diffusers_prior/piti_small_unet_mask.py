"""SceneWorld label maps: a small U-Net of diffusers, read from its folder, adapted in two stages with 2,000 pairs.
The folder is that of pretrain_small_unet_layouts.py; another one goes into model.denoiser.decoder.unet.

python tools/train.py plugins/diffusers_prior/piti_small_unet_mask.py
python tools/test.py plugins/diffusers_prior/piti_small_unet_mask.py work_dirs/piti_small_unet_mask/ema.safetensors
"""

_base_ = [
    "./small_unet.py",
    "../../configs/_base_/datasets/scenes_mask.py",
    "../../configs/_base_/schedules/small_two-stage.py",
    "../../configs/_base_/evaluation_scenes.py",
    "../../configs/_base_/default_runtime.py",
]
model = dict(
    denoiser=dict(decoder=dict(unet="work_dirs/small_unet_prior")),
    # That of the folder's scheduler.
    schedule=None,
)
