# NYU Depth v2 normals and depth from the official files: 795 + 654 pairs; the preparation derives the normals:
#   python tools/prepare_data.py nyu SRC data/nyu
# nyuv2_geometry.py reads another layout, of 256x256 pixels.
# Where the data is: data/nyu, or PITIKIT_DATA={folder} for {folder}/nyu, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_geometry.py"]

root = "{{$PITIKIT_DATA:data}}/nyu"
load = [
    dict(type="LoadImage"),
    dict(type="LoadNormals"),
    dict(type="LoadDepth", unit="mm", near=0.5, far=10.0),
]
val = dict(
    root=root,
    image="images/test/{id}.*",
    conditions=dict(normals="normals/test/{id}.png", depth="depth/test/{id}.png"),
    pipeline=[*load, *_base_.plain],
)
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
