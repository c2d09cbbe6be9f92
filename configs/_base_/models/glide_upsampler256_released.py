# As the released code trains its upsampler, where it differs from the paper: one layer of VGG-19, and WGAN-GP.
_base_ = ["./glide_upsampler256.py"]
model = dict(
    losses=[dict(type="EpsMSE"), dict(type="VariationalBound"), dict(type="ReleasedPerceptualLoss")],
    adversarial=dict(_delete_=True, type="WGANGPLoss", weight=0.01, penalty=10.0),
)
