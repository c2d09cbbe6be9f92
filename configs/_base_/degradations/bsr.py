# Full BSR, 256 -> 64: BSRGAN (arXiv 2103.14006) in the extended form of its authors' code, with sharpening, speckle,
# Poisson and camera noise. Two rounds of operations, wholly shuffled in one half of the images, their noises alone
# in the other; then the final size and JPEG. Camera noise follows Unprocessing Images instead of a learned camera.
# See it:  python tools/browse.py degradation configs/_base_/degradations/bsr.py --out bsr.png
# Use it:  _base_ = [..., "../_base_/degradations/bsr.py"], and after the flips of a pipeline
#          dict(type="Degrade", degradation={{_base_.degradation}}, size=64)
# Expected: far stronger than BSR-light; noise up to 25 of 255, JPEG down to quality 30.
blur = dict(
    type="OneOf",
    degradations=[
        dict(type="Blur", kind="anisotropic", size=(7, 25, 2), variance=(0.0, 8.0)),
        dict(type="Blur", kind="isotropic", size=(7, 25, 2), sigma=(0.0, 2.8)),
    ],
)
resize = dict(
    type="OneOf",
    degradations=[dict(type="Resize", scale=(1.0, 2.0)), dict(type="Resize", scale=(0.125, 1.0)), None],
    weights=[0.2, 0.7, 0.1],
)
noise = dict(type="GaussianNoise", level=(2, 25), whole=True)
poisson = dict(type="RandomApply", degradation=dict(type="PoissonNoise", peak=(100, 10000)), prob=0.1)
speckle = dict(type="RandomApply", degradation=dict(type="SpeckleNoise", level=(2, 25), whole=True), prob=0.1)
camera = dict(type="RandomApply", degradation=dict(type="CameraNoise"), prob=0.1)
compression = dict(type="JPEG", quality=(30, 95))
noises = dict(type="RandomOrder", degradations=[noise, poisson, speckle, camera])

degradation = dict(
    type="Downscale",
    scale=4,
    degradation=dict(
        type="Sequence",
        degradations=[
            dict(type="Sharpen", weight=0.5, sigma=8.0, threshold=10),
            dict(
                type="OneOf",
                degradations=[
                    dict(
                        type="RandomOrder",
                        degradations=[blur, resize, noise, poisson, speckle, camera, compression]
                        + [blur, resize, noise, poisson, speckle, camera],
                    ),
                    dict(type="Sequence", degradations=[blur, resize, noises, compression, blur, resize, noises]),
                ],
            ),
            dict(type="Resize", size="final"),
            compression,
        ],
    ),
)
