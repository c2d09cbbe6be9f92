# SceneWorld normals and depth to 256x256: the small base model at 64x64, then the small upsampler (PITI, sec. 3.3).
#   python tools/translate.py configs/scenes/cascade_small_geometry.py \
#       weights/scenes_geometry.safetensors,weights/scenes_upsampler.safetensors configs/scenes/inputs --out enlarged
#   python tools/test.py configs/scenes/cascade_small_geometry.py \
#       weights/scenes_geometry.safetensors,weights/scenes_upsampler.safetensors
# The upsampler was trained with label maps and without; here it gets none.
_base_ = [
    "../_base_/datasets/scenes_geometry.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_small_geometry.py",
    upsampler="upsampler_small_mask.py",
    conditioned=False,
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadNormals"),
            dict(type="LoadDepth", unit="m", mode="log-jet", near=3.0, far=1000.0),
            dict(type="LoadMask", num_classes=22, condition=False),
            dict(type="ResizePair", size=256, image_size=256),
            dict(type="PackInputs", keep=["label"]),
        ]
    )
)
