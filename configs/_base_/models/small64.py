# A small 64x64 model that a laptop trains in an hour: 1.6 M values in the decoder, 0.4 M in the encoder.
token_width = 96
model = dict(
    type="DenoisingTranslator",
    denoiser=dict(
        encoder=dict(
            type="SemanticEncoder",
            channels=(16, 32, 48, 64, 64),
            strides=(2, 2, 2, 2, 1, 1),
            position_init=0.5,
            width=token_width,
            layers=2,
            heads=4,
        ),
        decoder=dict(
            type="GlideUNet",
            channels=24,
            multipliers=(1, 2, 2, 3),
            res_blocks=1,
            attention_sizes=(16, 8),
            head_width=24,
            groups=8,
            token_width=token_width,
            dropout=0.0,
        ),
    ),
    schedule=dict(type="NoiseSchedule", name="squaredcos_cap_v2"),
    # With equal weights images need several times the iterations to become coherent.
    # The decoder would not learn either which token belongs to which place.
    losses=[dict(type="EpsMSE", v_weight=5.0), dict(type="VariationalBound"), dict(type="TokenAlignment", grid=16)],
    # A few thousand iterations are too few for the histories of loss-second-moment.
    timestep_sampler=dict(type="UniformTimesteps"),
    # 30 network calls an image for the FID of DDPM's 500 (docs/sampling.md).
    sampler=dict(
        type="DPMSolverSampler",
        steps=15,
        eta=1.0,
        spacing="log_snr",
        guidance=dict(type="NormalizedCFG", scale=3.0),
    ),
)
