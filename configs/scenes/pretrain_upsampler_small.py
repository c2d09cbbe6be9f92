# The prior of the small upsampler, in the place of GLIDE's: plain diffusion on shrunk SceneWorld pictures, the label map
# left out of every fourth, so that one upsampler serves all modalities.
#   torchrun --nproc-per-node 2 tools/train.py configs/scenes/pretrain_upsampler_small.py
# A training step looks at squares of 128x128 pixels, which takes a quarter of the time of whole pictures.
_base_ = [
    "../_base_/models/small_upsampler256.py",
    "../_base_/datasets/scenes_mask_upsampling.py",
    "../_base_/schedules/small_upsampler.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
model = dict(crop=128, losses=[dict(type="EpsMSE", v_weight=5), dict(type="VariationalBound")])
train_cfg = dict(max_iters=2000)
train_dataloader = dict(batch_size=4)
stages = [dict(name="upsampler", lr=2e-3, lr_end=1e-4, encoder_lr=0.5, warmup=50, drop=0.25)]
