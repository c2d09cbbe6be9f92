# A model that samples in milliseconds, for masks of SceneWorld. For tests.
load = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=22),
    dict(type="ResizePair", size=32, image_size=16),
]
model = dict(
    type="DenoisingTranslator",
    denoiser=dict(
        encoder=dict(
            type="SemanticEncoder",
            input_size=32,
            channels=(8, 8, 8, 8, 8),
            width=32,
            layers=1,
            heads=2,
        ),
        decoder=dict(
            type="GlideUNet",
            image_size=16,
            channels=32,
            multipliers=(1,),
            res_blocks=1,
            attention_sizes=(16,),
            head_width=32,
            token_width=32,
        ),
    ),
    sampler=dict(type="DDPMSampler", steps=3, guidance=dict(type="CFG", scale=1.5)),
)
test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="SceneWorld",
        length=3,
        start=5,
        size=64,
        members=["image", "mask"],
        pipeline=[
            *load,
            dict(type="RandomFlip", prob=1.0),
            dict(type="PackInputs", keep=["label"]),
        ],
    ),
)
