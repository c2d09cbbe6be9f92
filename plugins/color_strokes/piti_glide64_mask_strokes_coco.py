r"""COCO-Stuff masks and colour strokes, full size: a model of masks alone, its sampling guided by the strokes.

python tools/convert_checkpoint.py PITI_MASK weights/piti_mask.safetensors --kind piti-base   # or a training's weights
python tools/translate.py plugins/color_strokes/piti_glide64_mask_strokes_coco.py weights/piti_mask.safetensors \
    FOLDER --out results   # FOLDER/mask, FOLDER/strokes
"""

_base_ = ["../../configs/mask/piti_glide64_two-stage_coco.py"]
plugins = ["plugins/color_strokes"]
strokes = dict(type="Interval", low=0.4, guidance=dict(type="StrokeGuidance"))
model = dict(
    denoiser=dict(encoder=dict(type="SemanticBesideStrokes", beside="mask")),
    sampler=dict(guidance=[{{_base_.model.sampler.guidance}}, strokes]),
)

conditions = dict(type="LoadConditions", conditions=[dict(type="LoadMask", num_classes=182), dict(type="LoadStrokes")])
load = [dict(type="LoadImage"), dict(type="DrawStrokes"), conditions]
train_dataloader = dict(dataset=dict(pipeline=[*load, *_base_.augmented]))
val = dict(pipeline=[*load, _base_.small, dict(type="PackInputs", keep=["label", "strokes"])])
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
test_evaluator = [dict(type="StrokeError"), *_base_.test_evaluator]
