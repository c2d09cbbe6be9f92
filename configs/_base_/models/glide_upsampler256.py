# The full-size upsampler of the paper, 64x64 to 256x256: 351,345,862 values with the encoder for masks, and 2,764,737
# in the discriminator. The paper names neither VGG, levels and weights of its perceptual loss nor the weight of its
# adversarial loss (log D): VGG-19, four levels and the released weights are our choice.
# The weights of VGG-19 are read when a training begins, from weights/vgg19_features.safetensors, from the folder that
# PITIKIT_WEIGHTS names, or from torch.hub's; weights="download" in the loss fetches torchvision's. Sampling needs none.
model = dict(
    type="AdversarialUpsampler",
    denoiser=dict(
        encoder=dict(type="SemanticEncoder"),
        decoder=dict(
            type="GlideUNet",
            image_size=256,
            multipliers=(1, 1, 2, 2, 4, 4),
            res_blocks=2,
            low_res=True,
        ),
    ),
    schedule=dict(type="NoiseSchedule", name="linear"),
    losses=[
        dict(type="EpsMSE"),
        dict(type="VariationalBound"),
        dict(type="PerceptualLoss", network="vgg19", weight=0.004),
    ],
    timestep_sampler=dict(type="UniformTimesteps"),
    sampler=dict(type="DDPMSampler", steps="fast27", temperature=0.997),
    discriminator=dict(type="PatchDiscriminator"),
    adversarial=dict(type="LogAdversarialLoss", weight=0.01),
)
