# CMP Facades label maps: 12 classes, 546 + 60 pairs of the official form, 400 + 100 of pix2pix's. The files are those
# of
#   python tools/prepare_data.py facades SRC data/facades
# Where the data is: data/facades, or PITIKIT_DATA={folder} for {folder}/facades, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
# Tests are on the validation split. The test split of pix2pix's form: --cfg-options
# test_dataloader.dataset.image=images/test/{id}.* test_dataloader.dataset.conditions.mask=mask/test/{id}.png
_base_ = ["./prepared_mask.py"]

root = "{{$PITIKIT_DATA:data}}/facades"
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=12)]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
