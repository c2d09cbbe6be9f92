# SceneWorld label maps to 256x256: the small base model at 64x64, then the small upsampler (PITI, sec. 3.3).
#   python tools/translate.py configs/scenes/cascade_small_mask.py \
#       weights/scenes_mask.safetensors,weights/scenes_upsampler.safetensors configs/scenes/inputs --out enlarged
#   python tools/test.py configs/scenes/cascade_small_mask.py \
#       weights/scenes_mask.safetensors,weights/scenes_upsampler.safetensors
_base_ = [
    "../_base_/datasets/scenes_mask.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_small_mask.py",
    upsampler="upsampler_small_mask.py",
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=256, image_size=256),
            dict(type="PackInputs", keep=["label"]),
        ]
    )
)
