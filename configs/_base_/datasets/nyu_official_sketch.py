# NYU Depth v2 sketches from the official files: 795 + 654 pairs; the preparation extracts edges:
#   python tools/prepare_data.py nyu SRC data/nyu --extract canny
# nyuv2_sketch.py reads another layout, of 256x256 pixels.
# Where the data is: data/nyu, or PITIKIT_DATA={folder} for {folder}/nyu, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_sketch.py"]

root = "{{$PITIKIT_DATA:data}}/nyu"
load = [dict(type="LoadImage"), dict(type="LoadSketch")]
val = dict(
    root=root,
    image="images/test/{id}.*",
    conditions=dict(sketch="sketch/test/{id}.png"),
    pipeline=[*load, *_base_.plain],
)
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
