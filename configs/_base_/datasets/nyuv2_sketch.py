# NYU Depth v2 as sketches: it has none, so edges are derived from the image by Canny. A translation takes drawn edges.
# Where the data is: data/nyuv2_256, or PITIKIT_DATA={folder} for {folder}/nyuv2_256, or
# --cfg-options train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./loaders.py"]

data_root = "{{$PITIKIT_DATA:data}}/nyuv2_256"
load = [
    dict(type="LoadImage"),
    dict(type="LoadSketch", source="image", edges="canny", canny=(100, 200)),
    dict(type="ResizePair", size=256, image_size=64),
]
train_dataset = dict(
    type="PairedImageDataset",
    root=data_root + "/train",
    image="images/{id}.jpg",
    conditions=dict(),
    pipeline=[*load, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")],
)
val_dataset = dict(
    type="PairedImageDataset",
    root=data_root + "/val",
    image="images/{id}.jpg",
    conditions=dict(),
    pipeline=[*load, dict(type="PackInputs")],
    test_mode=True,
)

train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
