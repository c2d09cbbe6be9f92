# Cityscapes label maps: 2,975 + 500 pairs, the 19 trainIds, the rest 255. The files are those of
#   python tools/prepare_data.py cityscapes SRC data/cityscapes --size 256
# Where the data is: data/cityscapes, or PITIKIT_DATA={folder} for {folder}/cityscapes, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_mask.py"]

root = "{{$PITIKIT_DATA:data}}/cityscapes"
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=19)]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
