# The paper's optimisation: AdamW without decay or warm-up, EMA 0.9999 from the first iteration, global batch 128
# (16 on each of 8 devices here: on fewer, raise optim_wrapper.accumulative_counts). The paper does not say how long
# stage 2 lasts; 100k iterations is our choice.
train_cfg = dict(type="TranslationTrainLoop", max_iters=360_000)
optim_wrapper = dict(
    type="AutocastOptimWrapper",
    optimizer=dict(type="AdamW", lr=3.5e-5, weight_decay=0.0, fused=True),
)
custom_hooks = [
    dict(
        type="StageHook",
        stages=[
            dict(name="encoder", until=200_000, train=["encoder"], lr=3.5e-5, drop=0.0),
            dict(name="encoder-drop", until=260_000, train=["encoder"], lr=2e-5, drop=0.2),
            dict(name="joint", train=["encoder", "decoder"], lr=3e-5, drop=0.2),
        ],
    ),
    dict(type="DenoiserEMA", decay=0.9999),
    dict(type="ThroughputHook"),
    dict(type="SampleGridHook", interval=5000),
]
