# NYU Depth v2: normals (3 channels) and log-depth in jet colours (3), 795 + 109 images.
# Depth is stored in steps of 39 mm, so the normals are derived from it after smoothing. A translation derives them as
# well, unless they are given.
# The focal length is 518.9 of the crop's 427 pixels.
# Where the data is: data/nyuv2_256, or PITIKIT_DATA={folder} for {folder}/nyuv2_256, or
# --cfg-options train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./loaders.py"]

data_root = "{{$PITIKIT_DATA:data}}/nyuv2_256"
load = [
    dict(type="LoadImage"),
    dict(type="LoadNormals", derive=True, unit="mm", focal=1.215, smooth=8, spread=0.05),
    dict(type="LoadDepth", unit="mm", mode="log-jet", near=0.5, far=10.0),
    dict(type="ResizePair", size=256, image_size=64),
]
train_dataset = dict(
    type="PairedImageDataset",
    root=data_root + "/train",
    image="images/{id}.jpg",
    conditions=dict(depth="depth_mm/{id}.png"),
    pipeline=[*load, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")],
)
val_dataset = dict(
    type="PairedImageDataset",
    root=data_root + "/val",
    image="images/{id}.jpg",
    conditions=dict(depth="depth_mm/{id}.png"),
    pipeline=[*load, dict(type="PackInputs", keep=["depth"])],
    test_mode=True,
)

train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
