# The paper's optimisation: AdamW without decay or warm-up, EMA 0.9999 from the first iteration, global batch 128.
train_cfg = dict(type="IterBasedTrainLoop", max_iters=320_000)
optim_wrapper = dict(
    type="AutocastOptimWrapper",
    optimizer=dict(type="AdamW", lr=3.5e-5, weight_decay=0.0, fused=True),
)
