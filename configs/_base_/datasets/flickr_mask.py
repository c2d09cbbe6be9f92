# Flickr-Landscapes label maps: the set was never released; any folder of photographs takes its place, and a segmenter
# named in the preparation makes the maps, here of the 150 classes of ADE20K:
#   python tools/prepare_data.py photographs SRC data/flickr --size 256 --options every=42 \
#       --extract "dict(type='segmenter', network=dict(type='TransformersSegmenter', path='weights/segformer-b5-ade'))"
# The paper took maps of COCO-Stuff's classes: another segmenter needs its own num_classes.
# Where the data is: data/flickr, or PITIKIT_DATA={folder} for {folder}/flickr, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_mask.py"]

root = "{{$PITIKIT_DATA:data}}/flickr"
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=150)]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
