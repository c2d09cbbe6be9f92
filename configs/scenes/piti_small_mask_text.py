# SceneWorld label maps with a caption beside them: each is dropped on its own in training, and has a scale of its own
# in sampling. Decoder and text encoder begin from the embedded prior, whose captions follow the 256 places of a layout.
#   python tools/train.py configs/scenes/piti_small_mask_text.py
#   python tools/translate.py configs/scenes/piti_small_mask_text.py work_dirs/piti_small_mask_text/ema.safetensors \
#       FOLDER --out drawn          # with FOLDER/mask/one.png, FOLDER/caption/one.txt and so on
_base_ = [
    "../_base_/models/small64.py",
    "../_base_/datasets/scenes_mask.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
words = dict(type="WordTokenizer", words="pitikit.scenes:LAYOUT_VOCABULARY")
model = dict(
    denoiser=dict(
        encoder=dict(
            _delete_=True,
            type="DualEncoder",
            condition={{_base_.model.denoiser.encoder}},
            text=dict(type="TextEncoder", tokenizer=words, length=304, width=96, layers=1, heads=4, grid=16),
        ),
    ),
    sampler=dict(guidance=dict(_delete_=True, type="DualCFG", scale=2.5, text_scale=2.0)),
)
# No flip: captions contain left and right.
members = ["image", "mask", "caption"]
load = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=22),
    dict(type="LoadCaption", length=304, offset=256, tokenizer=words),
    dict(type="ResizePair", size=256, image_size=64),
]
val_dataset = dict(members=members, pipeline=[*load, dict(type="PackInputs", keep=["label"])])
train_dataloader = dict(dataset=dict(members=members, pipeline=[*load, dict(type="PackInputs")]))
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder", "encoder.text"]
