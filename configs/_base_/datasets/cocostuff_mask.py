# COCO-Stuff label maps: ids 0 to 181, 255 is unlabelled. Maps stored as 1 to 182 need id_offset=-1.
# Where the data is: data/cocostuff_samples256, or PITIKIT_DATA={folder} for
# {folder}/cocostuff_samples256, or --cfg-options train_dataloader.dataset.root=…
# val_dataloader.dataset.root=… (and test_…).
_base_ = ["./loaders.py"]

data_root = "{{$PITIKIT_DATA:data}}/cocostuff_samples256"
load = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=182, id_offset=0, ignore=255),
    dict(type="ResizePair", size=256, image_size=64),
]
train_dataset = dict(
    type="PairedImageDataset",
    root=data_root + "/train",
    image="images/{id}.jpg",
    conditions=dict(mask="labels/{id}.png"),
    pipeline=[*load, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")],
)
val_dataset = dict(
    type="PairedImageDataset",
    root=data_root + "/val",
    image="images/{id}.jpg",
    conditions=dict(mask="labels/{id}.png"),
    pipeline=[*load, dict(type="PackInputs", keep=["label"])],
    test_mode=True,
)

train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
