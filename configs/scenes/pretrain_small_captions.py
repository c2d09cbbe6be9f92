# The embedded prior: a small text-conditioned model of SceneWorld at 64x64.
#   python tools/train.py configs/scenes/pretrain_small_captions.py
# Only the encoder's type and the data set differ from an adaptation.
_base_ = [
    "../_base_/models/small64.py",
    "../_base_/datasets/scenes_caption.py",
    "../_base_/schedules/small_pretraining.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
model = dict(
    denoiser=dict(
        encoder=dict(
            _delete_=True,
            type="TextEncoder",
            tokenizer=dict(type="WordTokenizer", words="pitikit.data.scenes:VOCABULARY"),
            length=48,
            width=96,
            layers=2,
            heads=4,
        )
    ),
)
