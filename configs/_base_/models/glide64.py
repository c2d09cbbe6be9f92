# The full-size 64x64 model of the paper: 338,015,302 values with the encoder for masks.
model = dict(
    type="DenoisingTranslator",
    denoiser=dict(
        encoder=dict(type="SemanticEncoder"),
        decoder=dict(type="GlideUNet"),
    ),
    schedule=dict(type="NoiseSchedule", name="squaredcos_cap_v2"),
    losses=[dict(type="EpsMSE"), dict(type="VariationalBound")],
    timestep_sampler=dict(type="LossSecondMoment"),
    sampler=dict(type="DDPMSampler", steps=250, guidance=dict(type="NormalizedCFG", scale=1.3)),
)
