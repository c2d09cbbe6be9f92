# COCO-Stuff label maps: 118,287 + 5,000 pairs, ids 0 to 181, unlabelled pixels 255. The files are those of
#   python tools/prepare_data.py cocostuff SRC data/cocostuff --size 256
# which takes maps stored as 1 to 182 with --options id_offset=-1.
# Where the data is: data/cocostuff, or PITIKIT_DATA={folder} for {folder}/cocostuff, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_mask.py"]

root = "{{$PITIKIT_DATA:data}}/cocostuff"
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=182)]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
