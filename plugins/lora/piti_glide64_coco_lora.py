"""COCO-Stuff masks at 64x64, full size: stage 2 trains the encoder and low-rank updates of GLIDE's decoder.

python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
python tools/train.py plugins/lora/piti_glide64_coco_lora.py
python tools/test.py plugins/lora/piti_glide64_coco_lora.py work_dirs/piti_glide64_coco_lora/ema.safetensors
"""

_base_ = ["../../configs/mask/piti_glide64_two-stage_coco.py"]
plugins = ["plugins/lora"]
model = dict(
    denoiser=dict(
        decoder=dict(_delete_=True, type="LoRADecoder", decoder={{_base_.model.denoiser.decoder}}, rank=16),
    ),
)
load_from = dict(decoder="weights/glide_base.safetensors", allow_new="decoder.lora.*")
# A rate for each part; low-rank updates take a higher one than weights. It is our choice, as is the rank.
optim_wrapper = dict(constructor="PartwiseConstructor")
stages = [
    dict(name="encoder", until=200_000, train=["encoder"], lr=3.5e-5, drop=0.0),
    dict(name="encoder-drop", until=260_000, train=["encoder"], lr=2e-5, drop=0.2),
    dict(name="low-rank", train=["encoder", "decoder.lora"], lr=1e-4, encoder_lr=0.3, drop=0.2),
]
