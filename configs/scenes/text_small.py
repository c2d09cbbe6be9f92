# Images of SceneWorld from words: the embedded prior trained on with layouts that name colours as well ('red-car').
#   python tools/train.py configs/scenes/text_small.py
#   python tools/translate.py configs/scenes/text_small.py weights/scenes_text.safetensors \
#       "a red car on a road at night" --out drawn
# A text is laid out first, as a scene that the world could have (pitikit/scenes/wording.py); the model draws that.
# The prior itself makes an image from a layout, and from a caption alone nothing that one could recognise: it reads
# the time of day in it, but not the colours of objects.
_base_ = [
    "../_base_/models/small64_text.py",
    "../_base_/datasets/scenes_layout.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
words = dict(type="WordTokenizer", words="pitikit.scenes:COLOURED_VOCABULARY")
model = dict(denoiser=dict(encoder=dict(tokenizer=words)))
ending = [dict(type="ResizePair", size=128, image_size=64), dict(type="PackInputs")]
learned = dict(
    members=["image", "coloured_layout"],
    pipeline=[
        dict(type="LoadImage"),
        dict(type="LoadCaption", source="coloured_layout", length=304, tokenizer=words),
        *ending,
    ],
)
drawn = dict(
    members=["image", "caption"],
    pipeline=[dict(type="LoadImage"), dict(type="LoadDescription", tokenizer=words), *ending],
)
val_dataset = learned
train_dataloader = dict(dataset=learned)
val_dataloader = dict(dataset=learned)
test_dataloader = dict(dataset=drawn)
# A quarter of an hour on one core that does nothing else.
train_cfg = dict(max_iters=1400)
stages = [
    dict(name="encoder", until=200, train=["encoder"], lr=2e-3, warmup=50, drop=0.0),
    dict(name="joint", until=1000, lr=1e-3, lr_end=5.1e-4, encoder_lr=0.5, warmup=50, drop=0.1),
    dict(name="ending", lr=4e-4, lr_end=2e-5, encoder_lr=0.5, drop=0.1),
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]
