# SceneWorld label maps (22 classes): 2,000 training pairs, kept in memory by the one worker.
_base_ = ["./loaders.py"]

load = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=22),
]
resize = dict(type="ResizePair", size=256, image_size=64)
train_dataset = dict(
    type="SceneWorld",
    length=2000,
    start=1_000_000,
    size=256,
    members=["image", "mask"],
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
    members=["image", "mask"],
    pipeline=[
        *load,
        resize,
        dict(type="PackInputs", keep=["label"]),
    ],
)

train_dataloader = dict(batch_size=8, num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
