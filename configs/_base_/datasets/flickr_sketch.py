# Flickr-Landscapes sketches: any folder of photographs takes the place of the set, which was never released; the
# preparation extracts edges, by HED as the paper:
#   python tools/prepare_data.py photographs SRC data/flickr --size 256 --options every=42 --extract hed
# --extract pidinet, or canny, which needs no weights, takes HED's place.
# Where the data is: data/flickr, or PITIKIT_DATA={folder} for {folder}/flickr, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_sketch.py"]

root = "{{$PITIKIT_DATA:data}}/flickr"
load = [dict(type="LoadImage"), dict(type="LoadSketch")]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
