# CamVid label maps from a download: 367 + 101 pairs of SegNet's form, 11 classes, void 255. The files are those of
#   python tools/prepare_data.py camvid SRC data/camvid
# camvid_mask.py reads another layout, of 256x256 pixels.
# Where the data is: data/camvid, or PITIKIT_DATA={folder} for {folder}/camvid, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
# Tests are on the validation split. The test split, 233 pairs of SegNet's form: --cfg-options
# test_dataloader.dataset.image=images/test/{id}.* test_dataloader.dataset.conditions.mask=mask/test/{id}.png
_base_ = ["./prepared_mask.py"]

root = "{{$PITIKIT_DATA:data}}/camvid"
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=11)]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
