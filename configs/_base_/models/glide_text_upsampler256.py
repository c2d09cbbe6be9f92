# GLIDE's released upsampler of texts, 64x64 to 256x256, 398,361,286 values: 27 steps, initial noise times 0.997.
model = dict(
    type="Upsampler",
    denoiser=dict(
        encoder=dict(type="TextEncoder"),
        decoder=dict(
            type="GlideUNet",
            image_size=256,
            multipliers=(1, 1, 2, 2, 4, 4),
            res_blocks=2,
            low_res=True,
        ),
    ),
    schedule=dict(type="NoiseSchedule", name="linear"),
    sampler=dict(type="DDPMSampler", steps="fast27", temperature=0.997),
)
