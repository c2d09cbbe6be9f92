# DIODE normals and depth: 25,458 + 771 pairs, indoors and outdoors, up to 350 m. The files are those of
#   python tools/prepare_data.py diode SRC data/diode --size 256
# Where the data is: data/diode, or PITIKIT_DATA={folder} for {folder}/diode, or --cfg-options
# train_dataloader.dataset.root=… val_dataloader.dataset.root=… (and test_…).
_base_ = ["./prepared_geometry.py"]

root = "{{$PITIKIT_DATA:data}}/diode"
load = [
    dict(type="LoadImage"),
    dict(type="LoadNormals"),
    dict(type="LoadDepth", near=0.6, far=350.0),
]
val = dict(root=root, pipeline=[*load, *_base_.plain])
train_dataloader = dict(dataset=dict(root=root, pipeline=[*load, *_base_.augmented]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
