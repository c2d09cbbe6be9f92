# CamVid label maps from a download, for an upsampler: see upsampling.py. Paths as in camvid_official_mask.py.
_base_ = ["./camvid_official_mask.py", "./upsampling.py"]

val = dict(pipeline=[*_base_.load, *_base_.reduced, _base_.pack])
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=[*_base_.load, *_base_.degraded]))
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
