# Second order, 256 -> 64: the classical degradation twice, then a ringing filter, after Real-ESRGAN
# (arXiv 2107.10833), the settings of its published training (x4plus). The image is sharpened first, as there.
# See it:  python tools/browse.py degradation configs/_base_/degradations/real_esrgan.py --out real_esrgan.png
# Use it:  _base_ = [..., "../_base_/degradations/real_esrgan.py"], and after the flips of a pipeline
#          dict(type="Degrade", degradation={{_base_.degradation}}, size=64)
# Expected: the strongest of the three; ringing, blocks, and blur beyond what a base model produces.
kernels = dict(size=(7, 21, 2))
weights = [0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.1]  # 0.9 of (0.45, 0.25, 0.12, 0.03, 0.12, 0.03), sinc 0.1
blur_1 = dict(
    type="OneOf",
    degradations=[
        dict(kernels, type="Blur", kind="isotropic", sigma=(0.2, 3.0)),
        dict(kernels, type="Blur", kind="anisotropic", sigma=(0.2, 3.0)),
        dict(kernels, type="Blur", kind="isotropic", sigma=(0.2, 3.0), profile="generalized", beta=(0.5, 4.0)),
        dict(kernels, type="Blur", kind="anisotropic", sigma=(0.2, 3.0), profile="generalized", beta=(0.5, 4.0)),
        dict(kernels, type="Blur", kind="isotropic", sigma=(0.2, 3.0), profile="plateau", beta=(1.0, 2.0)),
        dict(kernels, type="Blur", kind="anisotropic", sigma=(0.2, 3.0), profile="plateau", beta=(1.0, 2.0)),
        dict(kernels, type="Sinc"),
    ],
    weights=weights,
)
blur_2 = dict(
    type="RandomApply",
    prob=0.8,
    degradation=dict(
        type="OneOf",
        degradations=[
            dict(kernels, type="Blur", kind="isotropic", sigma=(0.2, 1.5)),
            dict(kernels, type="Blur", kind="anisotropic", sigma=(0.2, 1.5)),
            dict(kernels, type="Blur", kind="isotropic", sigma=(0.2, 1.5), profile="generalized", beta=(0.5, 4.0)),
            dict(kernels, type="Blur", kind="anisotropic", sigma=(0.2, 1.5), profile="generalized", beta=(0.5, 4.0)),
            dict(kernels, type="Blur", kind="isotropic", sigma=(0.2, 1.5), profile="plateau", beta=(1.0, 2.0)),
            dict(kernels, type="Blur", kind="anisotropic", sigma=(0.2, 1.5), profile="plateau", beta=(1.0, 2.0)),
            dict(kernels, type="Sinc"),
        ],
        weights=weights,
    ),
)
resize_1 = dict(
    type="OneOf",
    degradations=[dict(type="Resize", scale=(1.0, 1.5)), dict(type="Resize", scale=(0.15, 1.0)), None],
    weights=[0.2, 0.7, 0.1],
)
resize_2 = dict(
    type="OneOf",
    degradations=[dict(type="Resize", scale=(1.0, 1.2)), dict(type="Resize", scale=(0.3, 1.0)), None],
    weights=[0.3, 0.4, 0.3],
)
noise_1 = dict(
    type="OneOf",
    degradations=[
        dict(type="GaussianNoise", level=(1, 30), colour=0.6, grey=0.4),
        dict(type="PoissonNoise", peak=256, strength=(0.05, 3.0), grey=0.4),
    ],
)
noise_2 = dict(
    type="OneOf",
    degradations=[
        dict(type="GaussianNoise", level=(1, 25), colour=0.6, grey=0.4),
        dict(type="PoissonNoise", peak=256, strength=(0.05, 2.5), grey=0.4),
    ],
)
compression = dict(type="JPEG", quality=(30, 95))
ringing = dict(type="RandomApply", degradation=dict(kernels, type="Sinc"), prob=0.8)

degradation = dict(
    type="Downscale",
    scale=4,
    degradation=dict(
        type="Sequence",
        degradations=[
            dict(type="Sharpen", weight=0.5, sigma=8.0, threshold=10),
            blur_1,
            resize_1,
            noise_1,
            compression,
            blur_2,
            resize_2,
            noise_2,
            dict(
                type="RandomOrder",
                degradations=[
                    dict(type="Sequence", degradations=[dict(type="Resize", size="final"), ringing]),
                    compression,
                ],
            ),
        ],
    ),
)
