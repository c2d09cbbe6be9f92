# BSR-light: PITI's degradation for its upsampler (256 -> 64), a milder BSRGAN (arXiv 2103.14006) with L0 smoothing.
# The numbers are the released code's, without its two faults: L0 smoothing gave black images, and so did blur kernels
# of a tiny sigma.
# See it:  python tools/browse.py degradation configs/_base_/degradations/bsr_light.py --out bsr_light.png
# Use it:  _base_ = [..., "../_base_/degradations/bsr_light.py"], and after the flips of a pipeline
#          dict(type="Degrade", degradation={{_base_.degradation}}, size=64)
# Expected on a photograph: the mean stays (143.3 +- 0.7 of 255 where it was 143.7), at 3 or more times the images
# a second of the released code (python tools/benchmarks/degradations.py).
noise = dict(type="GaussianNoise", level=(1, 2), whole=True)
compression = dict(type="RandomApply", degradation=dict(type="JPEG", quality=(80, 95)), prob=0.5)
smoothing = dict(type="RandomApply", degradation=dict(type="L0Smooth", strength=(1.2e-3, 4e-3)), prob=0.2)
last = dict(type="Resize", size="final", interpolations=["linear", "cubic", "area"])
half = dict(
    type="OneOf",
    degradations=[
        dict(type="Resize", scale=0.5, interpolations=["linear", "cubic", "area"]),
        dict(type="Resize", scale=0.5, interpolations=["antialiased"]),
    ],
)

# Blur and first down-scaling depend on the reduction: by 4, or by 2 after halving.
blur_4 = dict(
    type="OneOf",
    degradations=[
        dict(type="Blur", kind="anisotropic", size=(5, 14), variance=(0.0, 2.0)),
        dict(type="Blur", kind="isotropic", size=(5, 7), sigma=(0.0, 0.7)),
        None,
    ],
    weights=[0.4, 0.4, 0.2],
)
blur_2 = dict(
    type="OneOf",
    degradations=[
        dict(type="Blur", kind="anisotropic", size=(5, 14), variance=(0.0, 1.5)),
        dict(type="Blur", kind="isotropic", size=(5, 7), sigma=(0.0, 0.6)),
        None,
    ],
    weights=[0.4, 0.4, 0.2],
)
first_4 = dict(
    type="OneOf",
    degradations=[dict(type="Resize", shrink=(1, 8)), dict(type="Subsample", scale=4, sigma=(0.1, 2.4))],
    weights=[0.8, 0.2],
)
first_2 = dict(
    type="OneOf",
    degradations=[dict(type="Resize", shrink=(1, 4)), dict(type="Subsample", scale=2, sigma=(0.1, 1.2))],
    weights=[0.8, 0.2],
)

degradation = dict(
    type="Downscale",
    scale=4,
    degradation=dict(
        type="OneOf",
        degradations=[
            dict(
                type="RandomOrder",
                degradations=[blur_4, first_4, last, noise, compression, smoothing],
                keep=[(1, 2)],
            ),
            dict(
                type="Sequence",
                degradations=[
                    half,
                    dict(
                        type="RandomOrder",
                        degradations=[blur_2, first_2, last, noise, compression, smoothing],
                        keep=[(1, 2)],
                    ),
                ],
            ),
        ],
        weights=[0.75, 0.25],
    ),
)
