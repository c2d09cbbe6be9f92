# A pretraining on one core (three quarters of an hour): bfloat16 autocast, a fast EMA, a rate that ends near zero.
train_cfg = dict(type="TranslationTrainLoop", max_iters=6000)
# The learning rate is that of the stage.
optim_wrapper = dict(
    type="AutocastOptimWrapper",
    constructor="PartwiseConstructor",
    precision="bfloat16",
    optimizer=dict(type="AdamW", weight_decay=0.0, betas=(0.9, 0.99), fused=True),
    clip_grad=dict(max_norm=1.0),
)
stages = [dict(name="pretrain", lr=3e-3, lr_end=3e-5, encoder_lr=0.3, warmup=50, drop=0.1)]
custom_hooks = [
    dict(type="DenoiserEMA", decay=0.998, warmup=True, export_dtype="float16"),
    dict(type="ThroughputHook"),
    dict(type="SampleGridHook", interval=1000),
]
