# Data of a small prior for photographs: the training photographs of CamVid and NYU Depth v2 without their labels, and
# as many scenes of SceneWorld with their layouts, so that the decoder does not forget to read.
_base_ = ["./loaders.py"]

data_root = "{{$PITIKIT_DATA:data}}"
words = dict(type="WordTokenizer", words="pitikit.scenes:LAYOUT_VOCABULARY")
unlabelled = [
    dict(type="LoadImage"),
    dict(type="LoadCaption", length=304, tokenizer=words, text=""),
    dict(type="ResizePair", size=256, image_size=64),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackInputs"),
]
described = [
    dict(type="LoadImage"),
    dict(type="LoadCaption", source="layout", length=304, tokenizer=words),
    dict(type="ResizePair", size=128, image_size=64),
    dict(type="PackInputs"),
]
camvid = dict(type="PairedImageDataset", image="images/{id}.jpg", conditions=dict())
train_dataset = dict(
    type="MixedDataset",
    datasets=[
        dict(camvid, root=data_root + "/camvid256/train", pipeline=unlabelled),
        dict(camvid, root=data_root + "/nyuv2_256/train", pipeline=unlabelled),
        dict(
            type="SceneWorld",
            length=1162,
            start=0,
            size=128,
            members=["image", "layout"],
            pipeline=described,
            cache=True,
        ),
    ],
)
val_dataset = dict(camvid, root=data_root + "/camvid256/val", pipeline=unlabelled)

train_dataloader = dict(batch_size=8, num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
