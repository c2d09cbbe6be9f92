# The two stages of the paper on two cores (half an hour alone): the encoder alone, then encoder and decoder.
_base_ = ["./small_pretraining.py"]
train_cfg = dict(max_iters=1000)
# A fast encoder falls silent: tokens that vary are noise to a decoder that does not read them yet.
stages = [
    dict(name="encoder", until=150, train=["encoder"], lr=1e-3, encoder_lr=0.2, warmup=50, drop=0.0),
    dict(name="joint", train=["encoder", "decoder"], lr=1e-3, lr_end=2e-5, encoder_lr=0.2, warmup=50, drop=0.1),
]
