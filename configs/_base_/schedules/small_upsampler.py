# The small upsampler's adaptation on one core, 1,000 iterations of 4 squares: the whole denoiser in one stage; every
# fourth condition is dropped, so that it also works without one.
_base_ = ["./small_pretraining.py"]
train_cfg = dict(max_iters=1000)
stages = [dict(name="upsampler", lr=3e-4, lr_end=1e-5, encoder_lr=0.5, warmup=20, drop=0.25)]
