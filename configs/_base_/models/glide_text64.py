# GLIDE's released 64x64 model of texts, 385,030,726 values, sampled as in its notebook: 100 steps, guidance 3.
model = dict(
    type="DenoisingTranslator",
    denoiser=dict(encoder=dict(type="TextEncoder"), decoder=dict(type="GlideUNet")),
    schedule=dict(type="NoiseSchedule", name="squaredcos_cap_v2"),
    sampler=dict(type="DDPMSampler", steps=100, guidance=dict(type="CFG", scale=3.0)),
)
