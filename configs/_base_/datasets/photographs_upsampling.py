# The photographs of CamVid and NYU Depth v2 at 256x256, without their labels, and as low_res the same at 64x64: 1,162
# for training, 52 of the validation images for tests. The condition is blank.
# Where the data is: data/camvid256 and data/nyuv2_256, or PITIKIT_DATA={folder}.
_base_ = ["./loaders.py"]

data_root = "{{$PITIKIT_DATA:data}}"
load = [
    dict(type="LoadImage"),
    dict(type="LoadBlank"),
    dict(type="ResizePair", size=256, image_size=256),
]
augmented = [*load, dict(type="RandomFlip", prob=0.5), dict(type="Degrade", size=64), dict(type="PackInputs")]
still = [*load, dict(type="Degrade", size=64), dict(type="PackInputs")]
photographs = dict(type="PairedImageDataset", image="images/{id}.jpg", conditions=dict())
train_dataset = dict(
    type="MixedDataset",
    datasets=[
        dict(photographs, root=data_root + "/camvid256/train", pipeline=augmented),
        dict(photographs, root=data_root + "/nyuv2_256/train", pipeline=augmented),
    ],
)
val_dataset = dict(
    type="MixedDataset",
    datasets=[
        dict(photographs, root=data_root + "/camvid256/val", pipeline=still, subset=0.25, test_mode=True),
        dict(photographs, root=data_root + "/nyuv2_256/val", pipeline=still, subset=0.25, test_mode=True),
    ],
)

train_dataloader = dict(batch_size=4, num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
