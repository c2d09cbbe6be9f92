# SceneWorld sketches: 2,000 training pairs. Validation keeps the labels for mIoU.
_base_ = ["./loaders.py"]

load = [
    dict(type="LoadImage"),
    dict(type="LoadSketch"),
]
resize = dict(type="ResizePair", size=256, image_size=64)
train_dataset = dict(
    type="SceneWorld",
    length=2000,
    start=1_000_000,
    size=256,
    members=["image", "sketch"],
    cache=True,
    pipeline=[
        *load,
        resize,
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackInputs"),
    ],
)
val_dataset = dict(
    type="SceneWorld",
    length=200,
    start=2_000_000,
    size=256,
    members=["image", "sketch", "mask"],
    pipeline=[
        *load,
        dict(type="LoadMask", num_classes=22, condition=False),
        resize,
        dict(type="PackInputs", keep=["label"]),
    ],
)

train_dataloader = dict(batch_size=8, num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
