# The paper's optimisation: AdamW without decay or warm-up, EMA 0.9999 from the first iteration, global batch 128
# (16 on each of 8 devices here). On fewer devices raise optim_wrapper.accumulative_counts, and every number of
# iterations below with it: they count batches, not updates. The paper does not state the length of stage 2; 100k
# iterations is our choice.
train_cfg = dict(type="TranslationTrainLoop", max_iters=360_000)
# The learning rate is that of the stage.
optim_wrapper = dict(
    type="AutocastOptimWrapper",
    optimizer=dict(type="AdamW", weight_decay=0.0, fused=True),
)
stages = [
    dict(name="encoder", until=200_000, train=["encoder"], lr=3.5e-5, drop=0.0),
    dict(name="encoder-drop", until=260_000, train=["encoder"], lr=2e-5, drop=0.2),
    dict(name="joint", train=["encoder", "decoder"], lr=3e-5, drop=0.2),
]
custom_hooks = [
    dict(type="DenoiserEMA", decay=0.9999),
    dict(type="ThroughputHook"),
    dict(type="SampleGridHook", interval=5000),
]
