# The two stages of the paper on two cores (under an hour): the encoder alone, then encoder and decoder.
_base_ = ["./small_pretraining.py"]
train_cfg = dict(max_iters=2400)
custom_hooks = [
    dict(
        type="StageHook",
        stages=[
            dict(name="encoder", until=300, train=["encoder"], lr=2e-3, warmup=50, drop=0.0),
            dict(name="joint", train=["encoder", "decoder"], lr=2e-3, lr_end=2e-5, warmup=50, drop=0.1),
        ],
    ),
    dict(type="DenoiserEMA", decay=0.998, warmup=True, export_dtype="float16"),
    dict(type="ThroughputHook"),
    dict(type="SampleGridHook", interval=500),
]
