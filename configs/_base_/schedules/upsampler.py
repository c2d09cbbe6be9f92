# The upsampler's optimisation, as released: AdamW without decay or warm-up at 1e-5 and batch 4 for the denoiser, Adam
# at 1e-5 for the discriminator, no condition dropped, EMA 0.9999. Neither source states the length; 200k iterations are
# our choice. Accumulation, where it is set, has to be set for both.
train_cfg = dict(type="TranslationTrainLoop", max_iters=200_000)
optim_wrapper = dict(
    constructor="SeparateConstructor",
    denoiser=dict(type="AutocastOptimWrapper", optimizer=dict(type="AdamW", weight_decay=0.0, fused=True)),
    discriminator=dict(type="AutocastOptimWrapper", optimizer=dict(type="Adam", lr=1e-5)),
)
stages = [dict(name="upsampler", lr=1e-5, drop=0.0)]
custom_hooks = [
    dict(type="DenoiserEMA", decay=0.9999),
    dict(type="ThroughputHook"),
    dict(type="SampleGridHook", interval=5000),
]
