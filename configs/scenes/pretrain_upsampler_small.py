# The prior of the small upsampler, in the place of GLIDE's: plain diffusion on reduced SceneWorld images.
#   torchrun --nproc-per-node 2 tools/train.py configs/scenes/pretrain_upsampler_small.py
_base_ = ["./upsampler_small_mask_plain.py"]
load_from = None
train_cfg = dict(max_iters=1500)
stages = [dict(name="upsampler", lr=2e-3, lr_end=1e-4, encoder_lr=0.5, warmup=50, drop=0.25)]
