# A training of the small upsampler on one core: the whole denoiser in one stage, no condition dropped.
_base_ = ["./small_pretraining.py"]
train_cfg = dict(max_iters=3000)
stages = [dict(name="upsampler", lr=1e-3, lr_end=2e-5, encoder_lr=0.5, warmup=50, drop=0.0)]
