# COCO-Stuff label maps and images at 256x256, and as low_res the images at 64x64, degraded by BSR-light
# in training, only reduced in validation. Paths as in cocostuff_mask.py.
_base_ = ["./cocostuff_mask.py", "../degradations/bsr_light.py"]

load = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=182, id_offset=0, ignore=255),
    dict(type="ResizePair", size=256, image_size=256),
]
train_dataset = dict(
    pipeline=[
        *load,
        dict(type="RandomFlip", prob=0.5),
        dict(type="Degrade", degradation={{_base_.degradation}}, size=64),
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
