# COCO-Stuff sketches: 118,287 + 5,000 pairs; the set has none, so the preparation extracts edges, by HED as the paper:
#   python tools/prepare_data.py cocostuff SRC data/cocostuff --size 256 --extract hed
# The folder serves the label maps too. --extract pidinet, or canny, which needs no weights, takes HED's place.
# Where the data is: data/cocostuff, or PITIKIT_DATA={folder} for {folder}/cocostuff, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_sketch.py"]

root = "{{$PITIKIT_DATA:data}}/cocostuff"
load = [dict(type="LoadImage"), dict(type="LoadSketch")]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
