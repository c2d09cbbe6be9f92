# The two stages of the paper on two cores (half an hour alone): the encoder alone, then encoder and decoder.
_base_ = ["./small_pretraining.py"]
train_cfg = dict(max_iters=2400)
stages = [
    dict(name="encoder", until=300, train=["encoder"], lr=2e-3, warmup=50, drop=0.0),
    dict(name="joint", train=["encoder", "decoder"], lr=2e-3, lr_end=2e-5, warmup=50, drop=0.1),
]
