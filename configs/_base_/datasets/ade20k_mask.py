# ADE20K (2016) label maps: 20,210 + 2,000 pairs, 150 classes, unlabelled pixels 255. The files are those of
#   python tools/prepare_data.py ade20k SRC data/ade20k --size 256
# Where the data is: data/ade20k, or PITIKIT_DATA={folder} for {folder}/ade20k, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_mask.py"]

root = "{{$PITIKIT_DATA:data}}/ade20k"
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=150)]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
