# Fixed decoder: the encoder alone throughout.
_base_ = ["./piti_small_nyu-sketch.py"]
stages = [dict(name="encoder", train=["encoder"], lr=1e-3, lr_end=2e-5, warmup=50, drop=0.1)]
