# Fixed decoder: the encoder alone throughout (PITI, table 3a: FID 12.6 against 8.9 of two stages).
_base_ = ["./piti_small_mask.py"]
stages = [dict(name="encoder", train=["encoder"], lr=1e-3, lr_end=2e-5, warmup=50, drop=0.1)]
