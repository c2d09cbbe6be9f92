# The small model as a prior: words in place of a condition image, 16 x 16 of them for the places of a layout.
_base_ = ["./small64.py"]
model = dict(
    denoiser=dict(
        encoder=dict(
            _delete_=True,
            type="TextEncoder",
            tokenizer=dict(type="WordTokenizer", words="pitikit.scenes:LAYOUT_VOCABULARY"),
            length=304,
            width=96,
            layers=1,
            heads=4,
            init_std=0.5,
            grid=16,
        )
    ),
)
