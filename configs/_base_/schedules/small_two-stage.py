# The two stages of the paper on one core (25 minutes alone): the encoder alone, then encoder and decoder.
_base_ = ["./small_pretraining.py"]
train_cfg = dict(max_iters=2400)
stages = [
    dict(name="encoder", until=500, train=["encoder"], lr=1e-3, warmup=50, drop=0.0),
    dict(name="joint", train=["encoder", "decoder"], lr=1e-3, lr_end=2e-5, encoder_lr=0.5, warmup=50, drop=0.1),
]
