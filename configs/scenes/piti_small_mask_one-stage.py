# One stage: encoder and decoder together from the start (PITI, table 3a: FID 13.3 against 8.9 of two stages).
_base_ = ["./piti_small_mask.py"]
stages = [dict(name="joint", train=["encoder", "decoder"], lr=1e-3, lr_end=2e-5, encoder_lr=0.5, warmup=50, drop=0.1)]
