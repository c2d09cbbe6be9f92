# SceneWorld layouts, for the text-conditioned prior: a million scenes, each drawn on demand.
# 16 x 16 words name the class at each place, the caption follows. No flip: both contain left and right.
_base_ = ["./loaders.py"]

load = [
    dict(type="LoadImage"),
    dict(
        type="LoadCaption",
        source="layout",
        length=304,
        tokenizer=dict(type="WordTokenizer", words="pitikit.scenes:LAYOUT_VOCABULARY"),
    ),
]
resize = dict(type="ResizePair", size=128, image_size=64)
train_dataset = dict(
    type="SceneWorld",
    length=1_000_000,
    start=0,
    size=128,
    members=["image", "layout"],
    pipeline=[
        *load,
        resize,
        dict(type="PackInputs"),
    ],
)
val_dataset = dict(
    type="SceneWorld",
    length=200,
    start=2_000_000,
    size=128,
    members=["image", "layout"],
    pipeline=[
        *load,
        resize,
        dict(type="PackInputs"),
    ],
)

train_dataloader = dict(batch_size=8, num_workers=1, dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
