# SceneWorld label maps and images at 256x256, and as low_res the images at 64x64, reduced as those are that a base
# model learns from. A config that degrades them replaces the pipeline of train_dataloader.
_base_ = ["./scenes_mask.py"]

load = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=22),
    dict(type="ResizePair", size=256, image_size=256),
]
train_dataset = dict(
    pipeline=[
        *load,
        dict(type="RandomFlip", prob=0.5),
        dict(type="Degrade", size=64),
        dict(type="PackInputs"),
    ],
)
val_dataset = dict(
    pipeline=[
        *load,
        dict(type="Degrade", size=64),
        dict(type="PackInputs", keep=["label"]),
    ],
)

train_dataloader = dict(batch_size=4, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
