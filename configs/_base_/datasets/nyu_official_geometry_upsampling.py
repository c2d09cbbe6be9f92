# NYU Depth v2 normals and depth from the official files, for an upsampler: see upsampling.py. Paths as in
# nyu_official_geometry.py.
_base_ = ["./nyu_official_geometry.py", "./upsampling.py"]

val = dict(pipeline=[*_base_.load, *_base_.reduced, _base_.pack])
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=[*_base_.load, *_base_.degraded]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
