r"""A small U-Net of diffusers pretrained on SceneWorld from texts, and then written as a folder of diffusers.

python tools/train.py plugins/diffusers_prior/pretrain_small_unet_layouts.py
python plugins/diffusers_prior/export.py plugins/diffusers_prior/pretrain_small_unet_layouts.py \
    work_dirs/pretrain_small_unet_layouts/ema.safetensors work_dirs/small_unet_prior
"""

_base_ = [
    "./small_unet.py",
    "../../configs/_base_/datasets/scenes_layout.py",
    "../../configs/_base_/schedules/small_pretraining.py",
    "../../configs/_base_/evaluation_scenes.py",
    "../../configs/_base_/default_runtime.py",
]
# As in configs/_base_/models/small64_text.py.
model = dict(
    denoiser=dict(
        encoder=dict(
            _delete_=True,
            type="TextEncoder",
            tokenizer=dict(type="WordTokenizer", words="pitikit.scenes:LAYOUT_VOCABULARY"),
            length=304,
            width=96,
            layers=1,
            heads=4,
            init_std=0.5,
            grid=16,
        )
    ),
)
